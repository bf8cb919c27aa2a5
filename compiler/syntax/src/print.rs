//! The syntax tree as text: one form for each tree, without spans. For goldens, `explain --stage ast`, and to compare trees.
//! Must not be mistaken for the language: that is `format`.

use crate::ast::*;

/// The tree as indented s-expressions. Two trees have the same text if and only if they differ in nothing but spans.
pub fn print(ast: &Ast) -> String {
    let mut nodes = Vec::new();
    nodes.extend(ast.description.iter().map(|d| Node::new("description").text(d)));
    nodes.extend(ast.declarations().map(item));
    if !ast.broken.is_empty() {
        nodes.push(Node::new("broken").names(&ast.broken));
    }
    let mut out = String::new();
    for node in nodes {
        node.write(0, &mut out);
        out.push('\n');
    }
    out
}

/// An expression alone, on one line.
pub fn print_expr(value: &Expr) -> String {
    expr(value).flat()
}

/// Whether two trees differ in nothing but spans.
pub fn same(left: &Ast, right: &Ast) -> bool {
    print(left) == print(right)
}

/// `(head child …)`; a node without children and parentheses is a leaf.
struct Node {
    head: String,
    children: Vec<Node>,
    leaf: bool,
}

/// Longest form that stays on one line.
const WIDTH: usize = 110;

impl Node {
    fn new(head: impl Into<String>) -> Self {
        Node { head: head.into(), children: Vec::new(), leaf: false }
    }

    fn leaf(text: impl Into<String>) -> Self {
        Node { head: text.into(), children: Vec::new(), leaf: true }
    }

    fn with(mut self, child: Node) -> Self {
        self.children.push(child);
        self
    }

    fn all(mut self, children: impl IntoIterator<Item = Node>) -> Self {
        self.children.extend(children);
        self
    }

    fn text(self, text: &str) -> Self {
        self.with(Node::leaf(format!("{text:?}")))
    }

    fn name(self, name: &Name) -> Self {
        self.with(leaf_name(name))
    }

    fn names(self, names: &[Name]) -> Self {
        self.all(names.iter().map(leaf_name))
    }

    fn doc(self, doc: &Option<String>) -> Self {
        match doc {
            Some(doc) => self.with(Node::new("doc").text(doc)),
            None => self,
        }
    }

    fn optional(self, what: &str, value: &Option<Expr>) -> Self {
        match value {
            Some(value) => self.with(Node::new(what).with(expr(value))),
            None => self,
        }
    }

    fn flat(&self) -> String {
        if self.leaf {
            return self.head.clone();
        }
        let mut out = format!("({}", self.head);
        for child in &self.children {
            out.push(' ');
            out.push_str(&child.flat());
        }
        out.push(')');
        out
    }

    fn write(&self, indent: usize, out: &mut String) {
        let flat = self.flat();
        if self.leaf || flat.len() + indent <= WIDTH || self.children.is_empty() {
            out.push_str(&flat);
            return;
        }
        out.push('(');
        out.push_str(&self.head);
        // What names the node stays on its line.
        let beside = self.children.iter().take_while(|c| c.leaf).count();
        for child in &self.children[..beside] {
            out.push(' ');
            out.push_str(&child.head);
        }
        for child in &self.children[beside..] {
            out.push('\n');
            out.push_str(&" ".repeat(indent + 2));
            child.write(indent + 2, out);
        }
        out.push(')');
    }
}

fn leaf_name(name: &Name) -> Node {
    let plain = name.text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    Node::leaf(if plain { name.text.clone() } else { format!("`{}`", name.text) })
}

fn item(item: &Item) -> Node {
    match item {
        Item::Use(x) => Node::new("use").text(&x.path),
        Item::Param(x) => {
            Node::new("param").name(&x.name).doc(&x.doc).with(type_expr(&x.ty)).optional("default", &x.default)
        }
        Item::Source(x) => {
            let node = Node::new("source").name(&x.name).doc(&x.doc).with(connector(&x.connector));
            node.all(x.clauses.iter().map(source_clause))
        }
        Item::Table(x) => {
            let node = Node::new("table").name(&x.name).doc(&x.doc).with(connector(&x.connector));
            node.all(x.clauses.iter().map(source_clause))
        }
        Item::Function(x) => {
            let params = x.params.iter().map(|(name, ty)| Node::new("param").name(name).with(type_expr(ty)));
            let node = Node::new("fn").name(&x.name).doc(&x.doc).all(params);
            let node = match &x.result {
                Some(ty) => node.with(Node::new("result").with(type_expr(ty))),
                None => node,
            };
            node.with(expr(&x.body))
        }
        Item::Flow(x) => {
            let node = Node::new("flow").name(&x.name).with(flow_ref(&x.input)).doc(&x.doc);
            node.all(x.steps.iter().map(|s| step(&s.kind)))
        }
        Item::Sink(x) => {
            let node =
                Node::new("sink").name(&x.name).with(flow_ref(&x.input)).doc(&x.doc).with(connector(&x.connector));
            node.all(x.clauses.iter().map(sink_clause))
        }
        Item::Test(x) => Node::new("test").text(&x.name).doc(&x.doc).all(x.clauses.iter().map(test_clause)),
    }
}

fn connector(c: &Connector) -> Node {
    Node::new("connector").name(&c.name).all(c.args.iter().map(arg))
}

fn arg(a: &Arg) -> Node {
    match &a.name {
        Some(name) => Node::new(":").name(name).with(expr(&a.value)),
        None => expr(&a.value),
    }
}

fn flow_ref(r: &FlowRef) -> Node {
    match &r.output {
        Some(output) => Node::leaf(format!("{}.{}", leaf_name(&r.name).head, leaf_name(output).head)),
        None => leaf_name(&r.name),
    }
}

fn version(v: &VersionSpec) -> Node {
    match v {
        VersionSpec::Number(e) => Node::new("number").with(expr(e)),
        VersionSpec::Timestamp(e) => Node::new("time").with(expr(e)),
    }
}

fn source_clause(clause: &SourceClause) -> Node {
    match &clause.kind {
        SourceClauseKind::Schema(columns) => Node::new("schema").all(columns.iter().map(column)),
        SourceClauseKind::EventTime { column, value } => Node::new("event_time").name(column).optional("=", value),
        SourceClauseKind::Watermark(e) => Node::new("watermark").with(expr(e)),
        SourceClauseKind::Idle(e) => Node::new("idle").with(expr(e)),
        SourceClauseKind::Changes { from, by } if by.is_empty() => Node::new("changes").names(from),
        SourceClauseKind::Changes { from, by } => Node::new("changes").names(from).with(Node::new("by").names(by)),
        SourceClauseKind::SequenceBy(e) => Node::new("sequence-by").with(expr(e)),
        SourceClauseKind::IgnoreUpdates => Node::new("ignore-updates"),
        SourceClauseKind::Malformed(policy) => Node::new("malformed").name(policy),
        SourceClauseKind::Start(v) => Node::new("start").with(version(v)),
        SourceClauseKind::Version(v) => Node::new("version").with(version(v)),
    }
}

fn column(c: &ColumnDef) -> Node {
    Node::new("column").name(&c.name).with(type_expr(&c.ty)).doc(&c.doc)
}

fn type_expr(ty: &TypeExpr) -> Node {
    let node = match &ty.kind {
        TypeExprKind::Named(name) => leaf_name(name),
        TypeExprKind::Sized(name, sizes) => {
            Node::new(name.text.clone()).all(sizes.iter().map(|s| Node::leaf(s.to_string())))
        }
        TypeExprKind::Array(of) => Node::new("array").with(type_expr(of)),
        TypeExprKind::Map(key, value) => Node::new("map").with(type_expr(key)).with(type_expr(value)),
        TypeExprKind::Struct(fields) => Node::new("struct").all(fields.iter().map(column)),
    };
    if ty.nullable { Node::new("?").with(node) } else { node }
}

fn sink_clause(clause: &SinkClause) -> Node {
    match &clause.kind {
        SinkClauseKind::Mode(mode) => match mode {
            SinkMode::Append => Node::new("mode").with(Node::leaf("append")),
            SinkMode::Overwrite => Node::new("mode").with(Node::leaf("overwrite")),
            SinkMode::OverwritePartition => Node::new("mode").with(Node::leaf("overwrite-partition")),
            SinkMode::Merge(keys) => Node::new("mode").with(Node::new("merge").names(keys)),
            SinkMode::Scd2(keys) => Node::new("mode").with(Node::new("scd2").names(keys)),
        },
        SinkClauseKind::PartitionBy(keys) => Node::new("partition-by").all(keys.iter().map(assignment)),
        SinkClauseKind::Constraint { name, condition } => Node::new("constraint").name(name).with(expr(condition)),
        SinkClauseKind::Properties(properties) => Node::new("properties")
            .all(properties.iter().map(|p| Node::new("property").text(&p.key).with(expr(&p.value)))),
        SinkClauseKind::Evolve => Node::new("evolve"),
    }
}

fn test_clause(clause: &TestClause) -> Node {
    match &clause.kind {
        TestClauseKind::Given(name, rows) => Node::new("given").with(flow_ref(name)).with(expr(rows)),
        TestClauseKind::Then(name, rows) => Node::new("then").with(flow_ref(name)).with(expr(rows)),
        TestClauseKind::ThenError(code) => Node::new("then-error").name(code),
        TestClauseKind::At(e) => Node::new("at").with(expr(e)),
        TestClauseKind::AdvanceWatermark(e) => Node::new("advance-watermark").with(expr(e)),
        TestClauseKind::GivenParam(name, e) => Node::new("given-param").name(name).with(expr(e)),
    }
}

fn assignment(a: &Assignment) -> Node {
    match &a.name {
        Some(name) => Node::new("=").name(name).with(expr(&a.value)).doc(&a.doc),
        None if a.doc.is_some() => Node::new("column").with(expr(&a.value)).doc(&a.doc),
        None => expr(&a.value),
    }
}

fn step(kind: &StepKind) -> Node {
    match kind {
        StepKind::Where(e) => Node::new("where").with(expr(e)),
        StepKind::Extend(list) => Node::new("extend").all(list.iter().map(assignment)),
        StepKind::Select(list) => Node::new("select").all(list.iter().map(assignment)),
        StepKind::Drop(names) => Node::new("drop").names(names),
        StepKind::Rename(list) => {
            Node::new("rename").all(list.iter().map(|r| Node::new("=").name(&r.new).name(&r.old)))
        }
        StepKind::Expect(rules) => Node::new("expect").all(rules.iter().map(rule)),
        StepKind::Join(j) => join(j),
        StepKind::Aggregate(a) => aggregate(a),
        StepKind::Dedup { keys, within } => {
            Node::new("dedup").with(Node::new("by").all(keys.iter().map(assignment))).optional("within", within)
        }
        StepKind::Top { count, order, per } => Node::new("top")
            .with(expr(count))
            .with(Node::new("by").all(order.iter().map(sort_key)))
            .with(Node::new("per").all(per.iter().map(assignment))),
        StepKind::Sort(order) => Node::new("sort").all(order.iter().map(sort_key)),
        StepKind::Limit(e) => Node::new("limit").with(expr(e)),
        StepKind::Union(flows) => Node::new("union").all(flows.iter().map(flow_ref)),
        StepKind::Explode { value, column } => {
            let node = Node::new("explode").with(expr(value));
            match column {
                Some(name) => node.with(Node::new("as").name(name)),
                None => node,
            }
        }
    }
}

fn join(j: &Join) -> Node {
    let kind = match j.kind {
        JoinKind::Inner => "join",
        JoinKind::Left => "left-join",
        JoinKind::Right => "right-join",
        JoinKind::Full => "full-join",
        JoinKind::Semi => "semi-join",
        JoinKind::Anti => "anti-join",
    };
    let node = Node::new(kind).with(flow_ref(&j.right));
    let node = match &j.alias {
        Some(alias) => node.with(Node::new("as").name(alias)),
        None => node,
    };
    node.optional("on", &j.on).optional("within", &j.within).optional("as-of", &j.as_of)
}

fn aggregate(a: &Aggregate) -> Node {
    let mut node = Node::new("aggregate").all(a.aggregates.iter().map(assignment));
    if !a.keys.is_empty() {
        node = node.with(Node::new("by").all(a.keys.iter().map(assignment)));
    }
    if let Some(window) = &a.window {
        node = node.with(Node::new("window").name(&window.name).all(window.args.iter().map(arg)));
    }
    node.optional("late", &a.late)
}

fn sort_key(k: &SortKey) -> Node {
    let node = Node::new(if k.descending { "desc" } else { "asc" }).with(expr(&k.value));
    match k.nulls_first {
        Some(first) => node.with(Node::leaf(if first { "nulls-first" } else { "nulls-last" })),
        None => node,
    }
}

fn rule(r: &Rule) -> Node {
    let condition = match &r.condition {
        RuleCondition::Row(e) => expr(e),
        RuleCondition::Unique { columns, within, .. } => {
            Node::new("unique").with(Node::new("columns").all(columns.iter().map(expr))).optional("within", within)
        }
    };
    let node = Node::new("rule").name(&r.name).doc(&r.doc).with(condition);
    match r.policy.as_ref().map(|p| &p.kind) {
        None => node,
        Some(PolicyKind::Warn) => node.with(Node::leaf("warn")),
        Some(PolicyKind::Drop) => node.with(Node::leaf("drop")),
        Some(PolicyKind::Quarantine) => node.with(Node::leaf("quarantine")),
        Some(PolicyKind::Fail) => node.with(Node::leaf("fail")),
        Some(PolicyKind::Repair(list)) => node.with(Node::new("repair").all(list.iter().map(assignment))),
    }
}

fn expr(e: &Expr) -> Node {
    let not = |negated: bool, word: &str| Node::new(if negated { format!("not-{word}") } else { word.to_string() });
    match &e.kind {
        ExprKind::Null => Node::leaf("null"),
        ExprKind::Boolean(b) => Node::leaf(b.to_string()),
        ExprKind::Integer(i) => Node::leaf(i.to_string()),
        ExprKind::Double(d) => Node::leaf(format!("{d:?}")),
        ExprKind::Decimal { unscaled, precision, scale } => {
            Node::leaf(format!("{unscaled}e-{scale}:decimal({precision},{scale})"))
        }
        ExprKind::Percent(p) => Node::leaf(format!("{p:?}%")),
        ExprKind::String(parts) => string(parts),
        ExprKind::RawString(text) => Node::leaf(format!("r{text:?}")),
        ExprKind::Date(days) => Node::leaf(format!("date:{days}")),
        ExprKind::Timestamp(us) => Node::leaf(format!("timestamp:{us}")),
        ExprKind::TimestampNtz(us) => Node::leaf(format!("timestamp_ntz:{us}")),
        ExprKind::Duration(us) => Node::leaf(format!("{us}us")),
        ExprKind::Array(list) => Node::new("[]").all(list.iter().map(expr)),
        ExprKind::Struct(fields) => {
            Node::new("{}").all(fields.iter().map(|(n, v)| Node::new(":").name(n).with(expr(v))))
        }
        ExprKind::Name(name) => leaf_name(name),
        ExprKind::Field(of, name) => Node::new(".").with(expr(of)).name(name),
        ExprKind::Index(of, at) => Node::new("[").with(expr(of)).with(expr(at)),
        ExprKind::Call { function, args, filter } => {
            let node = Node::new("call").name(function).all(args.iter().map(arg));
            match filter {
                Some(filter) => node.with(Node::new("where").with(expr(filter))),
                None => node,
            }
        }
        ExprKind::Unary(op, of) => Node::new(match op {
            UnaryOp::Negate => "negate",
            UnaryOp::Not => "not",
        })
        .with(expr(of)),
        ExprKind::Binary { op, left, right, .. } => Node::new(op.text()).with(expr(left)).with(expr(right)),
        ExprKind::IsNull { value, negated } => not(*negated, "null").with(expr(value)),
        ExprKind::Between { value, low, high, negated } => {
            not(*negated, "between").with(expr(value)).with(expr(low)).with(expr(high))
        }
        ExprKind::In { value, list, negated } => not(*negated, "in").with(expr(value)).with(expr(list)),
        ExprKind::Like { value, pattern, negated } => not(*negated, "like").with(expr(value)).with(expr(pattern)),
        ExprKind::Matches { value, pattern, negated } => not(*negated, "matches").with(expr(value)).with(expr(pattern)),
        ExprKind::If { condition, then, otherwise } => {
            Node::new("if").with(expr(condition)).with(expr(then)).with(expr(otherwise))
        }
        ExprKind::Match { value, arms } => Node::new("match")
            .with(expr(value))
            .all(arms.iter().map(|arm| Node::new("=>").all(arm.patterns.iter().map(pattern)).with(expr(&arm.value)))),
        ExprKind::Cast { value, ty } => Node::new("as").with(expr(value)).with(type_expr(ty)),
        ExprKind::Error => Node::leaf("<error>"),
    }
}

fn string(parts: &[StringPart]) -> Node {
    match parts {
        [] => Node::leaf("\"\""),
        [StringPart::Text(text)] => Node::leaf(format!("{text:?}")),
        parts => Node::new("string").all(parts.iter().map(|p| match p {
            StringPart::Text(text) => Node::leaf(format!("{text:?}")),
            StringPart::Expr(e) => Node::new("put").with(expr(e)),
        })),
    }
}

fn pattern(p: &Pattern) -> Node {
    match &p.kind {
        PatternKind::Wildcard => Node::leaf("_"),
        PatternKind::Value(e) => Node::new("is").with(expr(e)),
        PatternKind::Compare(op, e) => Node::new(op.text()).with(expr(e)),
        PatternKind::In(e) => Node::new("in").with(expr(e)),
        PatternKind::Between(low, high) => Node::new("between").with(expr(low)).with(expr(high)),
        PatternKind::Like(e) => Node::new("like").with(expr(e)),
        PatternKind::Matches(e) => Node::new("matches").with(expr(e)),
    }
}
