//! Generated expressions: every form, and every function of the table with operands that fit.

use super::Generator;
use crate::cast::{cast_can_fail, castable};
use crate::expr::{CastFailure, Expr, ExprKind, LocalId};
use crate::functions::{self, FunctionRef};
use crate::types::{DataType, Field, Type};
use crate::value::Value;
use std::sync::OnceLock;

/// The types of columns and results.
pub(crate) fn palette(fixed_width: bool) -> &'static [DataType] {
    static PALETTES: OnceLock<[Vec<DataType>; 2]> = OnceLock::new();
    let palettes = PALETTES.get_or_init(|| {
        use DataType::*;
        let decimal = |precision, scale| Decimal { precision, scale };
        let array = |data| Array(Box::new(Type::nullable(data)));
        let fields = vec![
            Field::new("a", Type::nullable(Integer)),
            Field::new("b", Type::new(String)),
            Field::new("c", Type::nullable(Double)),
        ];
        let fixed = vec![
            Boolean,
            Byte,
            Short,
            Integer,
            Long,
            Float,
            Double,
            decimal(10, 2),
            decimal(5, 0),
            decimal(38, 18),
            decimal(20, 6),
            Date,
            Timestamp,
            TimestampNtz,
            Duration,
        ];
        let others = vec![
            String,
            Binary,
            array(Integer),
            array(String),
            Array(Box::new(Type::new(Double))),
            Array(Box::new(Type::new(array(Integer)))),
            Map(Box::new(String), Box::new(Type::nullable(Integer))),
            Struct(fields),
            Struct(vec![Field::new("k", Type::new(String)), Field::new("v", Type::nullable(Long))]),
        ];
        let all = fixed.iter().cloned().chain([String, String]).chain(others).collect();
        [all, fixed]
    });
    &palettes[usize::from(fixed_width)]
}

struct Candidate {
    function: FunctionRef,
    operands: Vec<DataType>,
    result: DataType,
}

/// Functions with operand types that fit, by what they give.
fn candidates(fixed_width: bool) -> &'static [Candidate] {
    static ALL: OnceLock<[Vec<Candidate>; 2]> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        [false, true].map(|fixed| {
            let mut found = vec![];
            for function in functions::all() {
                for operands in functions::instantiations(function, palette(fixed)) {
                    let types: Vec<Type> = operands.iter().cloned().map(Type::nullable).collect();
                    let Ok(resolution) = functions::resolve(function.name, &types) else { continue };
                    let result = resolution.result.data;
                    if fixed && !(result.is_fixed_width() && operands.iter().all(DataType::is_fixed_width)) {
                        continue;
                    }
                    found.push(Candidate { function: FunctionRef(function), operands, result });
                }
            }
            found
        })
    });
    &all[usize::from(fixed_width)]
}

struct Building<'a> {
    g: &'a mut Generator,
    columns: &'a [Type],
    locals: Vec<(LocalId, Type)>,
}

/// An expression of this type.
pub(super) fn expression(g: &mut Generator, columns: &[Type], data: &DataType, depth: usize) -> Expr {
    Building { g, columns, locals: vec![] }.expr(data, depth)
}

impl Building<'_> {
    fn make(&mut self, kind: ExprKind, data: &DataType, nullable: bool) -> Expr {
        let origin = self.g.origin();
        Expr::new(kind, Type { data: data.clone(), nullable }, origin)
    }

    fn expr(&mut self, data: &DataType, depth: usize) -> Expr {
        if depth == 0 {
            return self.leaf(data);
        }
        match self.g.below(20) {
            0 => self.leaf(data),
            1 | 2 => self.choice(data, depth),
            3 => self.coalesce(data, depth),
            4 => self.binding(data, depth),
            5 => {
                let inner = Box::new(self.expr(data, depth - 1));
                self.make(ExprKind::Try(inner), data, true)
            }
            6 | 7 => self.cast(data, depth),
            8 => self.field(data, depth),
            9..12 => match data {
                DataType::Boolean => self.logic(depth),
                DataType::Struct(fields) => self.structure(data, &fields.clone(), depth),
                DataType::Array(item) => self.list(data, &item.clone(), depth),
                _ => self.call(data, depth),
            },
            _ => self.call(data, depth),
        }
    }

    fn leaf(&mut self, data: &DataType) -> Expr {
        let local = self.locals.iter().rev().find(|l| l.1.data == *data).cloned();
        if let Some((id, ty)) = local
            && !self.g.once_in(3)
        {
            return self.make(ExprKind::Local(id), data, ty.nullable);
        }
        let fitting: Vec<usize> = (0..self.columns.len()).filter(|i| self.columns[*i].data == *data).collect();
        if !fitting.is_empty() && !self.g.once_in(4) {
            let index = *self.g.pick(&fitting);
            return self.make(ExprKind::Column(index), data, self.columns[index].nullable);
        }
        let value = self.g.value(&Type { data: data.clone(), nullable: self.g.tame });
        let nullable = value.is_null();
        self.make(ExprKind::Literal(value), data, nullable)
    }

    /// An expression that is never null.
    fn present(&mut self, data: &DataType, depth: usize) -> Expr {
        let expr = self.expr(data, depth);
        if !expr.ty.nullable {
            return expr;
        }
        let value = self.g.value(&Type::new(data.clone()));
        let fallback = self.make(ExprKind::Literal(value), data, false);
        self.make(ExprKind::Coalesce(vec![expr, fallback]), data, false)
    }

    fn typed(&mut self, ty: &Type, depth: usize) -> Expr {
        if ty.nullable { self.expr(&ty.data, depth) } else { self.present(&ty.data, depth) }
    }

    fn choice(&mut self, data: &DataType, depth: usize) -> Expr {
        let condition = Box::new(self.expr(&DataType::Boolean, depth - 1));
        let then = Box::new(self.expr(data, depth - 1));
        let otherwise = Box::new(self.expr(data, depth - 1));
        let nullable = then.ty.nullable || otherwise.ty.nullable;
        self.make(ExprKind::If { condition, then, otherwise }, data, nullable)
    }

    fn coalesce(&mut self, data: &DataType, depth: usize) -> Expr {
        let count = 2 + self.g.below(2);
        let xs: Vec<Expr> = (0..count).map(|_| self.expr(data, depth - 1)).collect();
        let nullable = xs.iter().all(|x| x.ty.nullable);
        self.make(ExprKind::Coalesce(xs), data, nullable)
    }

    fn binding(&mut self, data: &DataType, depth: usize) -> Expr {
        let bound = if self.g.once_in(2) { data.clone() } else { self.g.data_type() };
        let value = Box::new(self.expr(&bound, depth - 1));
        let local = LocalId(self.g.next_local);
        self.g.next_local += 1;
        self.locals.push((local, value.ty.clone()));
        let body = Box::new(self.expr(data, depth - 1));
        self.locals.pop();
        let nullable = body.ty.nullable;
        self.make(ExprKind::Let { local, value, body }, data, nullable)
    }

    fn cast(&mut self, data: &DataType, depth: usize) -> Expr {
        let from: Vec<DataType> =
            palette(self.g.options.fixed_width).iter().filter(|d| *d != data && castable(d, data)).cloned().collect();
        if from.is_empty() {
            return self.leaf(data);
        }
        let from = self.g.pick(&from).clone();
        let value = Box::new(self.expr(&from, depth - 1));
        let on_failure = if from.widens_to(data) && !self.g.once_in(3) {
            CastFailure::Never
        } else if self.g.once_in(2) {
            CastFailure::Null
        } else {
            CastFailure::Error
        };
        let nullable = value.ty.nullable || on_failure == CastFailure::Null && cast_can_fail(&from, data);
        self.make(ExprKind::Cast { value, on_failure }, data, nullable)
    }

    fn field(&mut self, data: &DataType, depth: usize) -> Expr {
        let structs = palette(self.g.options.fixed_width).iter().find_map(|s| match s {
            DataType::Struct(fields) => {
                fields.iter().position(|f| f.ty.data == *data).map(|i| (s.clone(), i, fields[i].ty.nullable))
            }
            _ => None,
        });
        let Some((of, index, nullable)) = structs else { return self.call(data, depth) };
        let value = Box::new(self.expr(&of, depth - 1));
        let nullable = nullable || value.ty.nullable;
        self.make(ExprKind::Field { value, index }, data, nullable)
    }

    fn logic(&mut self, depth: usize) -> Expr {
        let data = &DataType::Boolean;
        match self.g.below(5) {
            0 => {
                let x = Box::new(self.expr(data, depth - 1));
                let nullable = x.ty.nullable;
                self.make(ExprKind::Not(x), data, nullable)
            }
            1 => {
                let of = self.g.data_type();
                let x = Box::new(self.expr(&of, depth - 1));
                self.make(ExprKind::IsNull(x), data, false)
            }
            2 => {
                let of = self.g.data_type();
                let value = Box::new(self.expr(&of, depth - 1));
                let item = Type { data: of, nullable: self.g.once_in(3) };
                let list: Vec<Value> = (0..1 + self.g.below(5)).map(|_| self.g.value(&item)).collect();
                let nullable = value.ty.nullable || list.iter().any(Value::is_null);
                self.make(ExprKind::InList { value, list }, data, nullable)
            }
            form => {
                let count = 2 + self.g.below(2);
                let xs: Vec<Expr> = (0..count).map(|_| self.expr(data, depth - 1)).collect();
                let nullable = xs.iter().any(|x| x.ty.nullable);
                self.make(if form == 3 { ExprKind::And(xs) } else { ExprKind::Or(xs) }, data, nullable)
            }
        }
    }

    fn structure(&mut self, data: &DataType, fields: &[Field], depth: usize) -> Expr {
        let xs = fields.iter().map(|f| self.typed(&f.ty, depth - 1)).collect();
        self.make(ExprKind::Struct(xs), data, false)
    }

    fn list(&mut self, data: &DataType, item: &Type, depth: usize) -> Expr {
        let xs = (0..self.g.below(4)).map(|_| self.typed(item, depth - 1)).collect();
        self.make(ExprKind::Array(xs), data, false)
    }

    fn call(&mut self, data: &DataType, depth: usize) -> Expr {
        let fitting: Vec<&Candidate> =
            candidates(self.g.options.fixed_width).iter().filter(|c| c.result == *data).collect();
        if fitting.is_empty() {
            return self.leaf(data);
        }
        // First the function, then its operands: otherwise those with many overloads crowd out the others.
        let mut names: Vec<&str> = fitting.iter().map(|c| c.function.name).collect();
        names.dedup();
        let name = *self.g.pick(&names);
        let overloads: Vec<&Candidate> = fitting.into_iter().filter(|c| c.function.name == name).collect();
        let chosen = *self.g.pick(&overloads);
        let args: Vec<Expr> = chosen.operands.iter().map(|d| self.expr(d, depth - 1)).collect();
        let types: Vec<Type> = args.iter().map(|a| a.ty.clone()).collect();
        let Ok(resolution) = functions::resolve(name, &types) else { return self.leaf(data) };
        if resolution.result.data != *data {
            // Nullability inside of the result follows that of the operands; this time it came out another way.
            return self.leaf(data);
        }
        let widened =
            args.into_iter().zip(&resolution.parameters).map(|(arg, parameter)| self.widen(arg, parameter)).collect();
        let kind = ExprKind::Call { function: resolution.function, args: widened };
        self.make(kind, data, resolution.result.nullable)
    }

    fn widen(&mut self, arg: Expr, parameter: &Type) -> Expr {
        if arg.ty.data == parameter.data {
            return arg;
        }
        let nullable = arg.ty.nullable;
        let kind = ExprKind::Cast { value: Box::new(arg), on_failure: CastFailure::Never };
        self.make(kind, &parameter.data, nullable)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Generator, Options};
    use crate::eval::Backend;
    use crate::interpret::Interpreter;

    #[test]
    fn programs_run_and_both_outcomes_occur() {
        let (mut rows, mut failures) = (0, 0);
        for seed in 0..300 {
            let mut g = Generator::new(seed, Options { fixed_width: seed.is_multiple_of(3), ..Options::default() });
            let program = g.program();
            let batch = g.batch(&program.input);
            let kernel = Interpreter.compile(&program).expect("the interpreter takes every program");
            match kernel.run(&g.context(), &batch) {
                Ok(out) => rows += out.num_rows(),
                Err(_) => failures += 1,
            }
        }
        assert!(rows > 1000 && failures > 20, "{rows} rows, {failures} failures");
    }

    #[test]
    fn the_same_seed_gives_the_same() {
        let make = || Generator::new(7, Options::default()).program();
        assert_eq!(make(), make());
    }
}
