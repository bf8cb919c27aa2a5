//! What a sink writes to: the table as the program expects it, or the one to create. Decides only; reads and writes nothing.

use crate::codes;
use crate::log::features::{self, Features};
use crate::log::{Metadata, Protocol, Snapshot, actions::Format};
use crate::schema::{self, DeltaField, DeltaType};
use flowc_ir::plan::{SinkMode, SinkSpec};
use flowc_ir::{DataType, Field, Schema, Type};
use flowc_runtime::RunError;
use std::borrow::Cow;

/// What to write, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// All columns of the table (after evolution).
    pub fields: Vec<DeltaField>,
    /// The columns of the table (after evolution) that the program writes, in the table's order, with the position of each in the program's batches.
    pub columns: Vec<(Field, DeltaType, usize)>,
    /// The table's partition columns.
    pub partition_by: Vec<String>,
    /// The protocol to write with the commit: of a table that is created.
    pub protocol: Option<Protocol>,
    /// The metadata to write with the commit: of a table that is created or gets columns.
    pub metadata: Option<Metadata>,
    /// How many leaf columns get statistics.
    pub indexed: usize,
}

/// What names the sink in messages.
pub fn describe(spec: &SinkSpec) -> String {
    let location = flowc_ir::catalog::location(&spec.connector).unwrap_or_default();
    format!("sink `{}` ({location})", spec.name)
}

/// The columns that the table of a history has behind those of the sink: the end of a version, and whether it has none.
pub fn history_columns() -> [Field; 2] {
    [
        Field::new("valid_to", Type::nullable(DataType::Timestamp)),
        Field::new("is_current", Type::new(DataType::Boolean)),
    ]
}

/// The columns of the table that the sink writes to, as far as the sink knows them.
fn table_schema(spec: &SinkSpec) -> Cow<'_, Schema> {
    match spec.mode {
        SinkMode::Scd2 { .. } => {
            let columns = spec.schema.fields.iter().cloned().chain(history_columns());
            Cow::Owned(Schema::new(columns.collect()))
        }
        _ => Cow::Borrowed(&spec.schema),
    }
}

/// A table that only takes further rows.
fn append_only(spec: &SinkSpec, why: &str) -> RunError {
    RunError::data(codes::APPEND_ONLY, format!("{} has the property delta.appendOnly: {why}", describe(spec)))
        .help("use `mode append` without --full-refresh, or unset the property")
        .at(spec.origin)
}

impl Target {
    /// The existing table, if it still is what the program was compiled against.
    pub fn existing(spec: &SinkSpec, mode: &SinkMode, snapshot: &Snapshot) -> Result<Target, RunError> {
        let what = describe(spec);
        let at = |error: RunError| error.at(spec.origin);
        let metadata = &snapshot.metadata;
        let mut fields = schema::parse(&metadata.schema_string).map_err(|e| at(e.writing(&what)))?;
        let features = Features::of(&snapshot.protocol, metadata, &fields);
        if !features.unwritable.is_empty() {
            let names = features.unwritable.join(", ");
            return Err(at(RunError::data(codes::UNWRITABLE, format!("{what} uses features of the Delta protocol that flowc cannot write: {names}"))
                .help("write to another table, or have the engine that made it drop the features (ALTER TABLE … DROP FEATURE)")));
        }
        if *mode != SinkMode::Append && metadata.enabled("delta.appendOnly") {
            return Err(append_only(spec, "its rows cannot be replaced"));
        }
        enforced(spec, metadata, &fields).map_err(at)?;
        if !spec.partition_by.is_empty() && spec.partition_by != metadata.partition_columns {
            let by = metadata.partition_columns.join(", ");
            return Err(mismatch(
                spec,
                &format!("it is partitioned by ({by}), the program partitions by ({})", spec.partition_by.join(", ")),
            ));
        }
        let program = table_schema(spec);
        let grown = merge_fields(&mut fields, &program.fields, spec.evolve, "").map_err(|e| mismatch(spec, &e))?;
        if grown && new_features(&snapshot.protocol, &fields) {
            return Err(mismatch(
                spec,
                "a column of type timestamp_ntz would be its first, and that changes the table's protocol",
            ));
        }
        let text = schema::to_text(&fields);
        let changed = grown.then(|| Metadata { schema_string: text, ..metadata.clone() });
        Ok(Target {
            columns: columns(spec, &fields)?,
            fields,
            partition_by: metadata.partition_columns.clone(),
            protocol: None,
            indexed: indexed(metadata),
            metadata: changed,
        })
    }

    /// The table to create.
    pub fn new(spec: &SinkSpec, id: String, now: i64) -> Result<Target, RunError> {
        let at = |error: RunError| error.at(spec.origin);
        let mut fields = schema::from_flowc(&table_schema(spec))
            .ok_or_else(|| mismatch(spec, "a column has a type that Delta tables do not have (duration, null)"))?;
        for (name, sql) in &spec.generated {
            if let Some(field) = fields.iter_mut().find(|f| f.name == *name) {
                field.metadata.insert("delta.generationExpression".into(), sql.clone().into());
            }
        }
        let mut metadata = Metadata {
            id,
            description: spec.description.clone(),
            format: Format { provider: "parquet".into(), options: Some(Default::default()) },
            schema_string: schema::to_text(&fields),
            partition_columns: spec.partition_by.clone(),
            created_time: Some(now),
            ..Metadata::default()
        };
        let mut configuration: indexmap::IndexMap<String, Option<String>> = Default::default();
        for (key, value) in &spec.properties {
            if key.starts_with("delta.constraints.") {
                return Err(at(bad_property(
                    spec,
                    &format!("`{key}` would be a constraint that the program does not test"),
                )));
            }
            if !key.starts_with("delta.feature.") && !key.starts_with("delta.min") {
                configuration.insert(key.clone(), Some(value.clone()));
            }
        }
        for (name, sql) in &spec.constraints {
            // Spark looks constraints up by their lower-case names.
            configuration.insert(format!("delta.constraints.{}", name.to_lowercase()), Some(sql.clone()));
        }
        metadata.configuration = Some(configuration);
        if !matches!(spec.mode, SinkMode::Append | SinkMode::Overwrite) && metadata.enabled("delta.appendOnly") {
            return Err(append_only(spec, "the rows of this sink change those that are there"));
        }
        let protocol = protocol(spec, &metadata, &fields).map_err(at)?;
        let features = Features::of(&protocol, &metadata, &fields);
        if let Some(feature) = features.unwritable.first() {
            return Err(at(bad_property(
                spec,
                &format!("it asks for the feature {feature}, which flowc cannot write"),
            )));
        }
        Ok(Target {
            columns: columns(spec, &fields)?,
            fields,
            partition_by: spec.partition_by.clone(),
            protocol: Some(protocol),
            indexed: indexed(&metadata),
            metadata: Some(metadata),
        })
    }

    /// The same table for batches that have all of its columns, in its order. Fails where one has a type that flowc does not have.
    pub fn whole(&self, spec: &SinkSpec) -> Result<Target, RunError> {
        let column = |(position, field): (usize, &DeltaField)| {
            let column =
                field.to_flowc().map_err(|e| mismatch(spec, &format!("`{}` has the type {}", e.column, e.ty)))?;
            Ok((Field { comment: None, ..column }, field.ty.clone(), position))
        };
        let columns = self.fields.iter().enumerate().map(column).collect::<Result<_, RunError>>()?;
        Ok(Target { columns, ..self.clone() })
    }

    /// Whether rows laid out for `other` are right for this target too.
    pub fn same_columns(&self, other: &Target) -> bool {
        self.fields.len() == other.fields.len()
            && self.fields.iter().zip(&other.fields).all(|(a, b)| a.name == b.name && a.ty == b.ty)
    }

    /// Whether files written for `other` are right for this target too.
    pub fn same_files(&self, other: &Target) -> bool {
        self.columns == other.columns && self.partition_by == other.partition_by
    }
}

fn mismatch(spec: &SinkSpec, why: &str) -> RunError {
    RunError::data(codes::TARGET_SCHEMA, format!("{} does not take the rows of this program: {why}", describe(spec)))
        .help("check the program against the table as it is now, then run it again")
        .at(spec.origin)
}

fn bad_property(spec: &SinkSpec, why: &str) -> RunError {
    RunError::data(codes::BAD_PROPERTY, format!("{} cannot be created with these properties: {why}", describe(spec)))
        .help("leave the property out; an engine that has the feature can set it later")
}

/// Every constraint and generated column that the table has must be one that the program asserts or computes.
fn enforced(spec: &SinkSpec, metadata: &Metadata, fields: &[DeltaField]) -> Result<(), RunError> {
    let known = || spec.enforced.iter().chain(&spec.constraints).chain(&spec.generated);
    let declared = features::constraints(metadata, fields).into_iter().chain(features::generated(fields));
    for (name, sql) in declared {
        if known().any(|(n, s)| n.eq_ignore_ascii_case(&name) && s.trim() == sql.trim()) {
            continue;
        }
        let was = known()
            .find(|(n, _)| n.eq_ignore_ascii_case(&name))
            .map(|(_, s)| format!(" (the program knows it as `{s}`)"));
        let message = format!(
            "{} has `{name}`: `{sql}`, which the program was not compiled against{}",
            describe(spec),
            was.unwrap_or_default()
        );
        return Err(RunError::data(codes::TARGET_CHANGED, message)
            .help("check the program against the table as it is now, then run it again; nothing was committed"));
    }
    Ok(())
}

/// Fits the program's columns into the table's; whether columns were added. The error says which one does not fit.
fn merge_fields(table: &mut Vec<DeltaField>, program: &[Field], evolve: bool, path: &str) -> Result<bool, String> {
    let mut grown = false;
    for field in program {
        let name = format!("{path}{}", field.name);
        match table.iter_mut().find(|f| f.name == field.name) {
            Some(found) => {
                if field.ty.nullable && !found.nullable {
                    return Err(format!("`{name}` may be null in the program, and is NOT NULL in the table"));
                }
                grown |= merge_type(&mut found.ty, &field.ty.data, evolve, &name)?;
            }
            None if evolve => {
                let mut added = DeltaField::from_flowc(field).ok_or_else(|| format!("`{name}` has no Delta type"))?;
                // Rows that are there already have nothing in it.
                added.nullable = true;
                table.push(added);
                grown = true;
            }
            None => return Err(format!("the table has no column `{name}`")),
        }
    }
    let missing = table.iter().find(|f| !f.nullable && !program.iter().any(|p| p.name == f.name));
    match missing {
        Some(field) => {
            Err(format!("the table's column `{path}{}` is NOT NULL, and the program has no such column", field.name))
        }
        None => Ok(grown),
    }
}

fn merge_type(table: &mut DeltaType, program: &DataType, evolve: bool, path: &str) -> Result<bool, String> {
    match (&mut *table, program) {
        (DeltaType::Struct(fields), DataType::Struct(wanted)) => {
            merge_fields(fields, wanted, evolve, &format!("{path}."))
        }
        (DeltaType::Array(element, nullable), DataType::Array(item)) if *nullable || !item.nullable => {
            merge_type(element, &item.data, evolve, &format!("{path}.element"))
        }
        (DeltaType::Map(key, value, nullable), DataType::Map(k, v)) if *nullable || !v.nullable => {
            Ok(merge_type(key, k, false, &format!("{path}.key"))?
                | merge_type(value, &v.data, evolve, &format!("{path}.value"))?)
        }
        (DeltaType::Primitive(held), wanted) if wanted.widens_to(held) => Ok(false),
        (DeltaType::Primitive(held), wanted) => {
            Err(format!("`{path}` is {held} in the table, {wanted} in the program"))
        }
        (_, wanted) => Err(format!("`{path}` has another type in the table than {wanted}")),
    }
}

fn new_features(protocol: &Protocol, fields: &[DeltaField]) -> bool {
    let ntz = fields.iter().any(|f| f.ty.contains(&DataType::TimestampNtz));
    ntz && !protocol.writer_features.iter().flatten().any(|f| f == "timestampNtz")
}

fn columns(spec: &SinkSpec, fields: &[DeltaField]) -> Result<Vec<(Field, DeltaType, usize)>, RunError> {
    let mut columns = vec![];
    for field in fields {
        if let Some(position) = spec.schema.index_of(&field.name) {
            let column =
                field.to_flowc().map_err(|e| mismatch(spec, &format!("`{}` has the type {}", e.column, e.ty)))?;
            columns.push((Field { comment: None, ..column }, field.ty.clone(), position));
        }
    }
    Ok(columns)
}

fn indexed(metadata: &Metadata) -> usize {
    match metadata.property("delta.dataSkippingNumIndexedCols").and_then(|v| v.parse::<i64>().ok()) {
        Some(all) if all < 0 => usize::MAX,
        Some(some) => some as usize,
        None => 32,
    }
}

/// Features that properties ask for when they are `true` (or the value given): name, and whether readers need it too.
const BY_PROPERTY: &[(&str, &str, &str, bool)] = &[
    ("delta.enableChangeDataFeed", "true", "changeDataFeed", false),
    ("delta.enableDeletionVectors", "true", "deletionVectors", true),
    ("delta.enableTypeWidening", "true", "typeWidening", true),
    ("delta.checkpointPolicy", "v2", "v2Checkpoint", true),
    ("delta.enableRowTracking", "true", "rowTracking", false),
    ("delta.enableInCommitTimestamps", "true", "inCommitTimestamp", false),
    ("delta.enableIcebergCompatV1", "true", "icebergCompatV1", false),
    ("delta.enableIcebergCompatV2", "true", "icebergCompatV2", false),
    ("delta.columnMapping.mode", "name", "columnMapping", true),
    ("delta.columnMapping.mode", "id", "columnMapping", true),
];

/// The least protocol that has what the table uses: versions alone where they do, features (3, 7) where a feature has no version.
fn protocol(spec: &SinkSpec, metadata: &Metadata, fields: &[DeltaField]) -> Result<Protocol, RunError> {
    let number = |key: &str| match spec.properties.get(key) {
        Some(text) => text.parse::<u32>().map_err(|_| bad_property(spec, &format!("`{key}` is no number"))),
        None => Ok(1),
    };
    let (mut reader, mut writer) = (number("delta.minReaderVersion")?, number("delta.minWriterVersion")?.max(2));
    let mut features: Vec<(&str, bool)> = vec![];
    if metadata.properties().any(|(k, _)| k.starts_with("delta.constraints.")) {
        features.push(("checkConstraints", false));
    }
    if fields.iter().any(|f| f.metadata.contains_key("delta.generationExpression")) {
        features.push(("generatedColumns", false));
    }
    if fields.iter().any(|f| f.ty.contains(&DataType::TimestampNtz)) {
        features.push(("timestampNtz", true));
    }
    for (key, value, feature, readers) in BY_PROPERTY {
        if metadata.property(key).is_some_and(|v| v.eq_ignore_ascii_case(value)) {
            features.push((feature, *readers));
        }
    }
    for key in spec.properties.keys() {
        if let Some(feature) = key.strip_prefix("delta.feature.") {
            let readers = [
                "deletionVectors",
                "timestampNtz",
                "v2Checkpoint",
                "typeWidening",
                "vacuumProtocolCheck",
                "columnMapping",
            ];
            features.push((feature, readers.contains(&feature)));
        }
    }
    let legacy = |feature: &str| match feature {
        "appendOnly" | "invariants" => Some(2),
        "checkConstraints" => Some(3),
        "changeDataFeed" | "generatedColumns" => Some(4),
        _ => None,
    };
    let least: Option<u32> = features.iter().map(|(f, _)| legacy(f)).try_fold(writer, |max, v| Some(max.max(v?)));
    match least {
        Some(least) if reader < 3 && least < 7 => {
            writer = least;
            Ok(Protocol {
                min_reader_version: reader,
                min_writer_version: writer,
                reader_features: None,
                writer_features: None,
            })
        }
        _ => {
            let mut writers: Vec<String> = ["appendOnly", "invariants"].map(str::to_string).to_vec();
            writers.extend(features.iter().map(|(f, _)| f.to_string()));
            let mut readers: Vec<String> = features.iter().filter(|(_, r)| *r).map(|(f, _)| f.to_string()).collect();
            for names in [&mut writers, &mut readers] {
                names.sort();
                names.dedup();
            }
            reader = if readers.is_empty() && reader < 3 { 1 } else { 3 };
            let reader_features = (reader == 3).then_some(readers);
            Ok(Protocol {
                min_reader_version: reader,
                min_writer_version: 7,
                reader_features,
                writer_features: Some(writers),
            })
        }
    }
}
