//! Whether an expression can fail, told from the expression alone. Knows nothing of values.

use crate::cast::cast_can_fail;
use crate::{CastFailure, Expr, ExprKind, LocalId, Type};

/// Whether a row can fail in this expression. False is a proof; true only means that it is not one: a variable that is bound outside may stand for anything.
pub fn can_fail(expr: &Expr) -> bool {
    fails(expr, &mut vec![])
}

fn fails(expr: &Expr, locals: &mut Vec<(LocalId, bool)>) -> bool {
    let here = match &expr.kind {
        ExprKind::Call { function, args } => {
            let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
            function.can_fail(&types)
        }
        ExprKind::Cast { value, on_failure } => {
            *on_failure != CastFailure::Null && cast_can_fail(&value.ty.data, &expr.ty.data)
        }
        ExprKind::Try(_) => return false,
        ExprKind::Local(local) => {
            return locals.iter().rev().find(|(id, _)| id == local).is_none_or(|(_, fails)| *fails);
        }
        // A variable fails where it is used.
        ExprKind::Let { local, value, body } => {
            let value = fails(value, locals);
            locals.push((*local, value));
            let body = fails(body, locals);
            locals.pop();
            return body;
        }
        _ => false,
    };
    here || expr.children().into_iter().any(|child| fails(child, locals))
}
