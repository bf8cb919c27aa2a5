//! Generated plans over generated data: optimized they give the same rows, and fail where they failed.

use super::super::optimize;
use super::run::{Data, run};
use crate::lower::tests::{column, identity};
use flowc_ir::aggregates::AggregateFunction;
use flowc_ir::arrow_values::value_at;
use flowc_ir::graph::*;
use flowc_ir::plan::{Connector, Plan, SinkMode, SinkSpec, SourceSpec, TableSpec};
use flowc_ir::testgen::{Generator, Options};
use flowc_ir::text::{Origins, print_plan};
use flowc_ir::*;
use proptest::prelude::*;

struct Maker {
    random: Generator,
    graph: Graph,
}

impl Maker {
    fn data(&mut self, schema: &Schema) -> Data {
        let batch = self.random.batch(schema);
        let row = |i: usize| {
            let columns = schema.fields.iter().zip(batch.columns());
            columns.map(|(field, array)| value_at(array, i, &field.ty)).collect()
        };
        Data { schema: schema.clone(), rows: (0..batch.num_rows().min(12)).map(row).collect() }
    }

    fn schema(&self, id: NodeId) -> Schema {
        self.graph.node(id).schema.clone()
    }

    fn add(&mut self, operator: Operator, inputs: Vec<NodeId>, schema: Schema) -> NodeId {
        let label = format!("n{}", self.graph.nodes.len());
        self.graph.add(Node {
            operator,
            inputs,
            schema,
            kind: Kind::Append,
            bounded: true,
            label,
            origin: Origin::default(),
        })
    }

    fn types(schema: &Schema) -> Vec<Type> {
        schema.fields.iter().map(|f| f.ty.clone()).collect()
    }

    /// Columns passed on, computed ones, filters.
    fn transform(&mut self, input: NodeId) -> NodeId {
        let schema = self.schema(input);
        let mut program = identity(&schema);
        let mut slots = Self::types(&schema);
        for _ in 0..self.random.below(3) {
            if self.random.once_in(2) {
                // Now and then one that reads the key alone.
                let seen = if self.random.once_in(3) { 1 } else { slots.len() };
                let condition = self.random.expression(&slots[..seen], &DataType::Boolean);
                program.steps.push(ProgramStep::Filter(condition));
            } else {
                let data = self.random.data_type();
                let value = self.random.expression(&slots, &data);
                slots.push(value.ty.clone());
                program.steps.push(ProgramStep::Let(value));
            }
        }
        for (slot, ty) in slots.iter().enumerate().skip(schema.len()) {
            let field = Field::new(format!("let{}_{slot}", self.graph.nodes.len()), ty.clone());
            program.outputs.push(Output { value: column(slot, field.ty.clone()), field });
        }
        let before = program.outputs.len();
        for n in 0..self.random.below(3) {
            let data = self.random.data_type();
            let value = self.random.expression(&slots, &data);
            let field = Field::new(format!("out{}_{n}", self.graph.nodes.len()), value.ty.clone());
            program.outputs.push(Output { field, value });
        }
        // Some go; the key stays, so that lookups and aggregates have something.
        for i in (1..before).rev() {
            if self.random.once_in(3) {
                program.outputs.remove(i);
            }
        }
        let schema = program.output_schema();
        self.add(Operator::Transform(program), vec![input], schema)
    }

    fn lookup(&mut self, input: NodeId, table: &Schema) -> NodeId {
        let schema = self.schema(input);
        let kinds = [LookupKind::Inner, LookupKind::Left, LookupKind::Semi, LookupKind::Anti];
        let kind = *self.random.pick(&kinds);
        let mut prepare = identity(table);
        if self.random.once_in(2) {
            let condition = self.random.expression(&Self::types(table), &DataType::Boolean);
            prepare.steps.push(ProgramStep::Filter(condition));
        }
        let carries = matches!(kind, LookupKind::Inner | LookupKind::Left);
        let output: Vec<usize> = if carries { (0..table.len()).collect() } else { vec![] };
        let prefix = format!("t{}", self.graph.nodes.len());
        let named = table.fields.iter().map(|f| Field::new(format!("{prefix}.{}", f.name), f.ty.clone()));
        let named: Vec<Field> = named.collect();
        let mut pair = schema.clone();
        pair.fields.extend(named.iter().cloned());
        let residual = self.random.once_in(2).then(|| {
            let value = self.random.expression(&Self::types(&pair), &DataType::Boolean);
            let outputs = vec![Output { field: Field::new("matches", value.ty.clone()), value }];
            Program { input: pair.clone(), steps: vec![], outputs }
        });
        let mut out = schema;
        if carries {
            let nullable =
                |f: Field| Field { ty: f.ty.clone().with_nullable(f.ty.nullable || kind == LookupKind::Left), ..f };
            out.fields.extend(named.into_iter().map(nullable));
        }
        let (stream_keys, table_keys) = (vec![0], vec![0]);
        let lookup =
            Lookup { table: TableId(0), kind, as_of: None, prepare, stream_keys, table_keys, residual, output };
        self.add(Operator::Lookup(lookup), vec![input], out)
    }

    fn explode(&mut self, input: NodeId) -> NodeId {
        let mut schema = self.schema(input);
        let found = schema.fields.iter().enumerate().find_map(|(i, f)| match &f.ty.data {
            DataType::Array(item) => Some((i, (**item).clone())),
            _ => None,
        });
        let Some((column, item)) = found else { return self.transform(input) };
        let element = Field::new(format!("x{}", self.graph.nodes.len()), item);
        schema.fields.push(element.clone());
        self.add(Operator::Explode { column, element }, vec![input], schema)
    }

    fn aggregate(&mut self, input: NodeId) -> NodeId {
        let call = |function, args: Vec<usize>, ty| AggregateCall {
            function,
            args,
            constants: vec![],
            filter: None,
            ty,
            origin: Origin::default(),
        };
        let long = Type::new(DataType::Long);
        let mut aggregates = vec![
            call(AggregateFunction::Count, vec![], long.clone()),
            call(AggregateFunction::Max, vec![0], long.clone()),
            call(AggregateFunction::Sum, vec![0], long.clone()),
        ];
        // A sum of longs can fail.
        aggregates.truncate(2 + self.random.below(2));
        let fields = ["key", "n", "max", "sum"].map(|name| Field::new(name, long.clone()));
        let fields = fields[..=aggregates.len()].to_vec();
        let operator = Operator::Aggregate(Aggregate { keys: vec![0], aggregates });
        self.add(operator, vec![input], Schema::new(fields))
    }

    /// A join by the key with an earlier node, or with itself.
    fn join(&mut self, input: NodeId, other: NodeId) -> NodeId {
        let (left, right) = (self.schema(input), self.schema(other));
        // Not a right one: it leaves keys null, which nothing else here has.
        let kinds = [JoinKind::Inner, JoinKind::Left, JoinKind::Semi, JoinKind::Anti];
        let kind = *self.random.pick(&kinds);
        let widened =
            |f: &Field, wide: bool, name: String| Field::new(name, f.ty.clone().with_nullable(f.ty.nullable || wide));
        let prefix = format!("j{}", self.graph.nodes.len());
        let mut pair = left.clone();
        pair.fields.extend(right.fields.iter().map(|f| widened(f, false, format!("{prefix}.{}", f.name))));
        let residual = self.random.once_in(3).then(|| {
            let value = self.random.expression(&Self::types(&pair), &DataType::Boolean);
            let outputs = vec![Output { field: Field::new("matches", value.ty.clone()), value }];
            Program { input: pair.clone(), steps: vec![], outputs }
        });
        let mut out = left.clone();
        if kind.yields_right() {
            let of_right = |f: &Field| widened(f, kind.widens_right(), f.name.clone());
            out.fields.extend(pair.fields[left.len()..].iter().map(of_right));
        }
        let name = format!("join{}", self.graph.nodes.len());
        let keys = || vec![0];
        let join = StreamJoin { name, kind, left_keys: keys(), right_keys: keys(), within: None, residual };
        self.add(Operator::Join(join), vec![input, other], out)
    }

    fn remembering(&mut self, input: NodeId) -> NodeId {
        let (schema, name) = (self.schema(input), format!("node{}", self.graph.nodes.len()));
        let operator = if self.random.once_in(2) {
            Operator::Dedup(Dedup { name, keys: vec![0], time: None, within: None, by_time: false })
        } else {
            let order = vec![SortColumn { column: 0, descending: true, nulls_first: true }];
            Operator::Top(Top { name, count: 2, order, keys: vec![0], window: None })
        };
        self.add(operator, vec![input], schema)
    }

    fn step(&mut self, input: NodeId, (other, table): (NodeId, &Schema)) -> NodeId {
        let schema = self.schema(input);
        match self.random.below(13) {
            0 => {
                let key = self.random.below(schema.len());
                let column = if schema.fields[key].ty.data.is_orderable() { key } else { 0 };
                let (descending, nulls_first) = (self.random.once_in(2), self.random.once_in(2));
                self.add(Operator::Sort(vec![SortColumn { column, descending, nulls_first }]), vec![input], schema)
            }
            1 => self.add(Operator::Limit(5), vec![input], schema),
            2 => self.add(Operator::Union, vec![input, input], schema),
            3 => self.lookup(input, table),
            4 => self.explode(input),
            5 => self.aggregate(input),
            6 => self.remembering(input),
            7 => self.join(input, other),
            _ => self.transform(input),
        }
    }
}

fn delta() -> Connector {
    Connector::Delta { location: "/t".into() }
}

/// The first column is a small long, so that keys meet.
fn keyed(maker: &mut Maker) -> (Schema, Data) {
    let mut schema = maker.random.schema();
    schema.fields.insert(0, Field::new("key", Type::new(DataType::Long)));
    let mut data = maker.data(&schema);
    for (i, row) in data.rows.iter_mut().enumerate() {
        row[0] = Value::Long(i as i64 % 4);
    }
    (schema, data)
}

fn generated(seed: u64) -> (Plan, Data, Data) {
    let random = Generator::new(seed, Options { depth: 3, rows: 12, ..Options::default() });
    let mut maker = Maker { random, graph: Graph::default() };
    let (source, rows) = keyed(&mut maker);
    let (table, table_rows) = keyed(&mut maker);
    let mut ends = vec![maker.add(Operator::Source(SourceId(0)), vec![], source.clone())];
    for _ in 0..1 + maker.random.below(6) {
        // Mostly on from the last node; sometimes two read one.
        let at = if maker.random.once_in(5) { maker.random.below(ends.len()) } else { ends.len() - 1 };
        let other = ends[maker.random.below(ends.len())];
        let node = maker.step(ends[at], (other, &table));
        ends.push(node);
    }
    let origin = Origin::default();
    let last = ends.len() - 1;
    let written = if maker.random.once_in(3) { vec![last, maker.random.below(last + 1)] } else { vec![last] };
    let mut sinks = vec![];
    for (i, end) in written.into_iter().enumerate() {
        let mut program = identity(&maker.schema(ends[end]));
        if maker.random.once_in(2) {
            program.outputs.truncate(1 + maker.random.below(program.outputs.len()));
        }
        let schema = program.output_schema();
        let input = maker.add(Operator::Transform(program), vec![ends[end]], schema.clone());
        maker.add(Operator::Sink(SinkId(i as u32)), vec![input], schema.clone());
        sinks.push(SinkSpec {
            name: format!("sink{i}"),
            connector: delta(),
            mode: SinkMode::Append,
            whole: true,
            schema,
            changing: false,
            partition_by: vec![],
            generated: vec![],
            constraints: vec![],
            enforced: vec![],
            properties: Default::default(),
            description: None,
            evolve: false,
            input,
            origin,
        });
    }
    let sources = vec![SourceSpec {
        arrival: None,
        updates: Default::default(),
        committed: None,
        promises: vec![],
        name: "s".into(),
        connector: delta(),
        schema: source,
        predicate: None,
        quarantine: None,
        start: None,
        origin,
    }];
    let tables = vec![TableSpec {
        promises: vec![],
        name: "t".into(),
        connector: delta(),
        schema: table,
        predicate: None,
        version: None,
        origin,
    }];
    let mut plan = Plan { pipeline: "p".into(), sources, tables, sinks, graph: maker.graph };
    // Nothing runs what leads to no sink.
    super::super::edit::renumber(&mut plan);
    (plan, rows, table_rows)
}

/// Values to the bit.
fn bits(result: &Result<Vec<Vec<Vec<Value>>>, flowc_ir::eval::FailureCode>) -> String {
    match result {
        Ok(sinks) => format!("{sinks:?}"),
        Err(_) => "fails".to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn optimized_plans_mean_the_same(seed: u64) {
        let (plan, rows, table) = generated(seed);
        let (rows, table) = ([rows], [table]);
        prop_assert_eq!(flowc_ir::verify::verify(&plan), Ok(()));
        let better = optimize(plan.clone());
        let (before, after) = (run(&plan, &rows, &table, false), run(&better, &rows, &table, true));
        prop_assert_eq!(
            bits(&before), bits(&after), "\n{}\n\n{}", print_plan(&plan, Origins::Omitted), print_plan(&better, Origins::Omitted)
        );
    }
}

/// The property would hold where no lookup tells a source anything, too.
#[test]
fn enough_generated_plans_are_pruned_by_keys() {
    let pruned = |seed: &u64| !flowc_ir::key_pruning::prunings(&optimize(generated(*seed).0)).is_empty();
    let count = (0..200).filter(pruned).count();
    assert!(count > 5, "only {count} of 200 are pruned");
}

/// The property would hold of plans that all fail, too.
#[test]
fn enough_generated_plans_get_through() {
    let through = (0..200).filter(|seed| {
        let (plan, rows, table) = generated(*seed);
        run(&plan, &[rows], &[table], false).is_ok_and(|sinks| sinks.iter().any(|rows| !rows.is_empty()))
    });
    let count = through.count();
    assert!(count > 40, "only {count} of 200 yield rows");
}
