//! Which features of the Delta protocol a table uses, and which of them flowc honours when it reads or writes. Everything unknown is refused by
//! name.

use super::actions::{Metadata, Protocol};
use crate::schema::DeltaField;
use serde_json::Value;

/// What a table's protocol means for flowc.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features {
    /// All in force, those implied by old protocol versions too.
    pub all: Vec<String>,
    /// Those without which the table cannot be read correctly, that flowc lacks.
    pub unreadable: Vec<String>,
    /// Those without which the table cannot be written correctly, that flowc lacks.
    pub unwritable: Vec<String>,
}

/// Features that writer versions 2 to 6 imply, with the version that brought them.
const IMPLIED: &[(u32, &str)] = &[
    (2, "appendOnly"),
    (2, "invariants"),
    (3, "checkConstraints"),
    (4, "changeDataFeed"),
    (4, "generatedColumns"),
    (5, "columnMapping"),
    (6, "identityColumns"),
];

/// Reader features whose tables flowc reads correctly: it applies deletion vectors, maps columns by name or id, converts widened types, and reads
/// checkpoints of both versions; the others ask nothing of a reader.
const READABLE: &[&str] = &[
    "columnMapping",
    "deletionVectors",
    "timestampNtz",
    "typeWidening",
    "typeWidening-preview",
    "v2Checkpoint",
    "vacuumProtocolCheck",
];

/// Features that are about values of the type `variant`. Writers list them for tables that have no such column: then nothing is asked of anybody.
const VARIANT: &[&str] = &["variantType", "variantType-preview", "variantShredding", "variantShredding-preview"];

impl Features {
    /// What the protocol asks for, given the schema (none if flowc cannot understand it) and the properties.
    pub fn of(protocol: &Protocol, metadata: &Metadata, schema: &[DeltaField]) -> Features {
        let mut features = Features::default();
        let mut readers: Vec<&str> = vec![];
        if protocol.min_reader_version >= 3 {
            readers.extend(protocol.reader_features.iter().flatten().map(String::as_str));
        } else if protocol.min_reader_version == 2 {
            readers.push("columnMapping");
        }
        let mut writers: Vec<&str> = vec![];
        if protocol.min_writer_version >= 7 {
            writers.extend(protocol.writer_features.iter().flatten().map(String::as_str));
        } else {
            writers.extend(IMPLIED.iter().filter(|(v, _)| protocol.min_writer_version >= *v).map(|(_, name)| *name));
        }
        features.all = writers.iter().chain(&readers).map(|n| n.to_string()).collect();
        features.all.sort();
        features.all.dedup();
        let idle = |name: &&str| VARIANT.contains(name) && !has_variant(metadata);
        let unreadable = readers.iter().filter(|name| !READABLE.contains(name) && !idle(name)).map(|n| n.to_string());
        features.unreadable = unreadable.collect();
        if protocol.min_reader_version > 3 {
            features.unreadable.push(format!("reader version {}", protocol.min_reader_version));
        }
        if metadata.format.provider != "parquet" && !metadata.format.provider.is_empty() {
            features.unreadable.push(format!("format {}", metadata.format.provider));
        }
        let unwritable =
            writers.iter().filter(|name| !writable(name, metadata, schema) && !idle(name)).map(|n| n.to_string());
        features.unwritable = features.unreadable.iter().cloned().chain(unwritable).collect();
        if protocol.min_writer_version > 7 {
            features.unwritable.push(format!("writer version {}", protocol.min_writer_version));
        }
        features.unwritable.sort();
        features.unwritable.dedup();
        features
    }
}

/// Whether some value in the table is of the type `variant`; also where its schema cannot be understood.
fn has_variant(metadata: &Metadata) -> bool {
    fn of(value: &Value) -> bool {
        match value {
            Value::Object(map) => map.iter().any(|(key, value)| match (key.as_str(), value) {
                ("type" | "elementType" | "keyType" | "valueType", Value::String(name)) => name == "variant",
                ("metadata", _) => false,
                (_, value) => of(value),
            }),
            Value::Array(values) => values.iter().any(of),
            _ => false,
        }
    }
    serde_json::from_str(&metadata.schema_string).map_or(true, |schema: Value| of(&schema))
}

/// Whether flowc keeps what a writer feature asks for when it writes to this table.
fn writable(feature: &str, metadata: &Metadata, schema: &[DeltaField]) -> bool {
    let has = |key: &str| schema.iter().any(|f| f.has_metadata(key));
    match feature {
        // The program before the sink asserts and computes them; the sink compares them again before it commits.
        "invariants" | "checkConstraints" | "generatedColumns" => true,
        // Refused by the sink where it overwrites; it appends otherwise.
        "appendOnly" => true,
        // A merge writes change files; commits that only add, or only replace whole files, need none.
        "changeDataFeed" => true,
        // Merges write vectors as the protocol has them; nothing is asked of a writer of new files, of checkpoints written by deltalake, of files with the current types.
        "deletionVectors" | "v2Checkpoint" | "vacuumProtocolCheck" | "timestampNtz" | "typeWidening" => true,
        "typeWidening-preview" | "domainMetadata" | "checkpointProtection" => true,
        "columnMapping" => matches!(metadata.property("delta.columnMapping.mode"), None | Some("none")),
        "identityColumns" => !has("delta.identity.start"),
        "allowColumnDefaults" => !has("CURRENT_DEFAULT"),
        "inCommitTimestamp" => !metadata.enabled("delta.enableInCommitTimestamps"),
        "icebergCompatV1" => !metadata.enabled("delta.enableIcebergCompatV1"),
        "icebergCompatV2" => !metadata.enabled("delta.enableIcebergCompatV2"),
        "icebergCompatV3" => !metadata.enabled("delta.enableIcebergCompatV3"),
        _ => false,
    }
}

/// The constraints that hold of every row that is written: CHECK constraints by name, and column invariants as `invariant of COLUMN`.
pub fn constraints(metadata: &Metadata, schema: &[DeltaField]) -> Vec<(String, String)> {
    let checks = metadata
        .properties()
        .filter_map(|(key, value)| Some((key.strip_prefix("delta.constraints.")?.to_string(), value.to_string())));
    let mut all: Vec<(String, String)> = checks.collect();
    for field in schema {
        field.invariants("", &mut all);
    }
    all.sort();
    all
}

/// The generated columns: name and expression.
pub fn generated(schema: &[DeltaField]) -> Vec<(String, String)> {
    let expression =
        |f: &DeltaField| Some((f.name.clone(), f.metadata.get("delta.generationExpression")?.as_str()?.to_string()));
    schema.iter().filter_map(expression).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocol(reader: u32, writer: u32, readers: &[&str], writers: &[&str]) -> Protocol {
        let names = |n: &[&str]| Some(n.iter().map(|n| n.to_string()).collect());
        Protocol {
            min_reader_version: reader,
            min_writer_version: writer,
            reader_features: names(readers),
            writer_features: names(writers),
        }
    }

    #[test]
    fn old_versions_imply_features() {
        let features = Features::of(&protocol(2, 6, &[], &[]), &Metadata::default(), &[]);
        assert_eq!(features.all.len(), 7);
        assert_eq!(features.unwritable, Vec::<String>::new());
        let configuration = [("delta.columnMapping.mode".to_string(), Some("name".to_string()))];
        let metadata = Metadata { configuration: Some(configuration.into_iter().collect()), ..Metadata::default() };
        let features = Features::of(&protocol(2, 5, &[], &[]), &metadata, &[]);
        assert_eq!((features.unreadable.len(), features.unwritable), (0, vec!["columnMapping".to_string()]));
    }

    #[test]
    fn unknown_features_are_refused_by_name() {
        let protocol =
            protocol(3, 7, &["deletionVectors", "variantType"], &["deletionVectors", "variantType", "rowTracking"]);
        let features = Features::of(&protocol, &Metadata::default(), &[]);
        assert_eq!(features.unreadable, ["variantType"]);
        assert_eq!(features.unwritable, ["rowTracking", "variantType"]);
    }

    #[test]
    fn what_is_asked_of_variants_is_asked_of_nobody_where_there_are_none() {
        let protocol = protocol(3, 7, &["deletionVectors", "variantType"], &["deletionVectors", "variantType"]);
        let table = |ty: &str| {
            let field = format!(r#"{{"name":"variant","type":{ty},"nullable":true,"metadata":{{"type":"variant"}}}}"#);
            let schema_string = format!(r#"{{"type":"struct","fields":[{field}]}}"#);
            Features::of(&protocol, &Metadata { schema_string, ..Metadata::default() }, &[])
        };
        let without = table(r#""long""#);
        assert_eq!((without.unreadable, without.unwritable), (vec![], vec![]));
        let array = r#"{"type":"array","elementType":"variant","containsNull":true}"#;
        for with in [table(r#""variant""#), table(array)] {
            assert_eq!(with.unreadable, ["variantType"]);
            assert_eq!(with.unwritable, ["variantType"]);
        }
    }
}
