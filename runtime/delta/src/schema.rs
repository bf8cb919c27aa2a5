//! Delta's schemas: from and to their JSON, and to flowc's types. Knows column mapping; nothing of files.

use crate::storage::StorageError;
use flowc_ir::{DataType, Field, Schema, Type};
use serde_json::{Map, Value as Json, json};

/// A column of a Delta table, or a field of a struct in one.
#[derive(Debug, Clone, PartialEq)]
pub struct DeltaField {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: DeltaType,
    /// Whether it may be null.
    pub nullable: bool,
    /// What else is said of it.
    pub metadata: Map<String, Json>,
}

/// A type of Delta.
#[derive(Debug, Clone, PartialEq)]
pub enum DeltaType {
    /// One that flowc has too.
    Primitive(DataType),
    /// One that flowc does not have: its name.
    Unknown(String),
    /// `array`
    Array(Box<DeltaType>, bool),
    /// `map`
    Map(Box<DeltaType>, Box<DeltaType>, bool),
    /// `struct`
    Struct(Vec<DeltaField>),
}

/// A column of a type that flowc does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownType {
    /// The column, with dots.
    pub column: String,
    /// Its type.
    pub ty: String,
}

/// Reads a schema's JSON text.
pub fn parse(text: &str) -> Result<Vec<DeltaField>, StorageError> {
    let damaged = |why: &str| StorageError::Damaged(format!("the table's schema: {why}"));
    let json: Json = serde_json::from_str(text).map_err(|e| damaged(&e.to_string()))?;
    match parse_type(&json) {
        Some(DeltaType::Struct(fields)) => Ok(fields),
        _ => Err(damaged("it is not a struct")),
    }
}

fn parse_field(json: &Json) -> Option<DeltaField> {
    Some(DeltaField {
        name: json.get("name")?.as_str()?.to_string(),
        ty: parse_type(json.get("type")?)?,
        nullable: json.get("nullable").and_then(Json::as_bool).unwrap_or(true),
        metadata: json.get("metadata").and_then(Json::as_object).cloned().unwrap_or_default(),
    })
}

fn parse_type(json: &Json) -> Option<DeltaType> {
    if let Some(name) = json.as_str() {
        return Some(parse_primitive(name).map_or_else(|| DeltaType::Unknown(name.to_string()), DeltaType::Primitive));
    }
    let contains_null = |key: &str| json.get(key).and_then(Json::as_bool).unwrap_or(true);
    Some(match json.get("type")?.as_str()? {
        "struct" => {
            let fields = json.get("fields")?.as_array()?;
            DeltaType::Struct(fields.iter().map(parse_field).collect::<Option<_>>()?)
        }
        "array" => DeltaType::Array(Box::new(parse_type(json.get("elementType")?)?), contains_null("containsNull")),
        "map" => DeltaType::Map(
            Box::new(parse_type(json.get("keyType")?)?),
            Box::new(parse_type(json.get("valueType")?)?),
            contains_null("valueContainsNull"),
        ),
        other => DeltaType::Unknown(other.to_string()),
    })
}

fn parse_primitive(name: &str) -> Option<DataType> {
    Some(match name {
        "boolean" => DataType::Boolean,
        "byte" => DataType::Byte,
        "short" => DataType::Short,
        "integer" => DataType::Integer,
        "long" => DataType::Long,
        "float" => DataType::Float,
        "double" => DataType::Double,
        "string" => DataType::String,
        "binary" => DataType::Binary,
        "date" => DataType::Date,
        "timestamp" => DataType::Timestamp,
        "timestamp_ntz" => DataType::TimestampNtz,
        "decimal" => DataType::Decimal { precision: 10, scale: 0 },
        other => {
            let inner = other.strip_prefix("decimal(")?.strip_suffix(')')?;
            let (precision, scale) = inner.split_once(',')?;
            let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
            if !(1..=38).contains(&precision) || scale > precision {
                return None;
            }
            DataType::Decimal { precision, scale }
        }
    })
}

impl DeltaType {
    /// As flowc's type; the error is the path below this type and the unknown type.
    pub fn to_flowc(&self) -> Result<DataType, UnknownType> {
        let unknown = |at: &str, e: UnknownType| UnknownType { column: join(at, &e.column), ty: e.ty };
        Ok(match self {
            DeltaType::Primitive(data) => data.clone(),
            DeltaType::Unknown(name) => return Err(UnknownType { column: String::new(), ty: name.clone() }),
            DeltaType::Array(element, nullable) => {
                let data = element.to_flowc().map_err(|e| unknown("element", e))?;
                DataType::Array(Box::new(Type { data, nullable: *nullable }))
            }
            DeltaType::Map(key, value, nullable) => {
                let data = value.to_flowc().map_err(|e| unknown("value", e))?;
                let key = key.to_flowc().map_err(|e| unknown("key", e))?;
                DataType::Map(Box::new(key), Box::new(Type { data, nullable: *nullable }))
            }
            DeltaType::Struct(fields) => {
                DataType::Struct(fields.iter().map(DeltaField::to_flowc).collect::<Result<_, _>>()?)
            }
        })
    }

    /// The Delta type of a flowc type; none for those that Delta lacks (`null`, `duration`).
    pub fn from_flowc(data: &DataType) -> Option<DeltaType> {
        Some(match data {
            DataType::Null | DataType::Duration => return None,
            DataType::Array(item) => DeltaType::Array(Box::new(DeltaType::from_flowc(&item.data)?), item.nullable),
            DataType::Map(key, value) => {
                let value_type = Box::new(DeltaType::from_flowc(&value.data)?);
                DeltaType::Map(Box::new(DeltaType::from_flowc(key)?), value_type, value.nullable)
            }
            DataType::Struct(fields) => {
                DeltaType::Struct(fields.iter().map(DeltaField::from_flowc).collect::<Option<_>>()?)
            }
            primitive => DeltaType::Primitive(primitive.clone()),
        })
    }

    fn to_json(&self) -> Json {
        match self {
            DeltaType::Primitive(DataType::Decimal { precision, scale }) => {
                json!(format!("decimal({precision},{scale})"))
            }
            DeltaType::Primitive(data) => json!(data.to_string()),
            DeltaType::Unknown(name) => json!(name),
            DeltaType::Array(element, nullable) => {
                json!({ "type": "array", "elementType": element.to_json(), "containsNull": nullable })
            }
            DeltaType::Map(key, value, nullable) => {
                json!({ "type": "map", "keyType": key.to_json(), "valueType": value.to_json(), "valueContainsNull": nullable })
            }
            DeltaType::Struct(fields) => {
                let fields: Vec<Json> = fields.iter().map(DeltaField::to_json).collect();
                json!({ "type": "struct", "fields": fields })
            }
        }
    }

    /// Whether this type, or one inside, is `wanted`.
    pub fn contains(&self, wanted: &DataType) -> bool {
        match self {
            DeltaType::Primitive(data) => data == wanted,
            DeltaType::Unknown(_) => false,
            DeltaType::Array(element, _) => element.contains(wanted),
            DeltaType::Map(key, value, _) => key.contains(wanted) || value.contains(wanted),
            DeltaType::Struct(fields) => fields.iter().any(|f| f.ty.contains(wanted)),
        }
    }
}

fn join(at: &str, rest: &str) -> String {
    if rest.is_empty() { at.to_string() } else { format!("{at}.{rest}") }
}

impl DeltaField {
    /// The name that data files, statistics and partition values have for it.
    pub fn physical(&self) -> &str {
        self.metadata.get("delta.columnMapping.physicalName").and_then(Json::as_str).unwrap_or(&self.name)
    }

    /// The field id that data files have for it.
    pub fn id(&self) -> Option<i64> {
        self.metadata.get("delta.columnMapping.id").and_then(Json::as_i64)
    }

    /// As flowc's column.
    pub fn to_flowc(&self) -> Result<Field, UnknownType> {
        let unknown = |e: UnknownType| UnknownType { column: join(&self.name, &e.column), ty: e.ty };
        let data = self.ty.to_flowc().map_err(unknown)?;
        let comment = self.metadata.get("comment").and_then(Json::as_str).map(str::to_string);
        Ok(Field { name: self.name.clone(), ty: Type { data, nullable: self.nullable }, comment })
    }

    /// The column of a table that is created; none for types that Delta lacks.
    pub fn from_flowc(field: &Field) -> Option<DeltaField> {
        let comment = field.comment.iter().map(|c| ("comment".to_string(), json!(c)));
        Some(DeltaField {
            name: field.name.clone(),
            ty: DeltaType::from_flowc(&field.ty.data)?,
            nullable: field.ty.nullable,
            metadata: comment.collect(),
        })
    }

    fn to_json(&self) -> Json {
        json!({ "name": self.name, "type": self.ty.to_json(), "nullable": self.nullable, "metadata": self.metadata })
    }

    /// Whether this field, or one inside, has such metadata.
    pub fn has_metadata(&self, key: &str) -> bool {
        self.metadata.contains_key(key)
            || matches!(&self.ty, DeltaType::Struct(fields) if fields.iter().any(|f| f.has_metadata(key)))
    }

    /// Collects the invariants of this field and those inside: name and SQL text.
    pub fn invariants(&self, prefix: &str, into: &mut Vec<(String, String)>) {
        let path = if prefix.is_empty() { self.name.clone() } else { format!("{prefix}.{}", self.name) };
        let text = self.metadata.get("delta.invariants").and_then(Json::as_str);
        let parsed = text.and_then(|t| serde_json::from_str::<Json>(t).ok());
        let sql = parsed.as_ref().and_then(|j| j.get("expression")?.get("expression")?.as_str());
        if let Some(sql) = sql.or(text) {
            into.push((format!("invariant of {path}"), sql.to_string()));
        }
        if let DeltaType::Struct(fields) = &self.ty {
            fields.iter().for_each(|f| f.invariants(&path, into));
        }
    }
}

/// The schema's JSON text.
pub fn to_text(fields: &[DeltaField]) -> String {
    DeltaType::Struct(fields.to_vec()).to_json().to_string()
}

/// As flowc's schema.
pub fn to_flowc(fields: &[DeltaField]) -> Result<Schema, UnknownType> {
    Ok(Schema::new(fields.iter().map(DeltaField::to_flowc).collect::<Result<_, _>>()?))
}

/// The Delta columns of a flowc schema; none if a type is not Delta's.
pub fn from_flowc(schema: &Schema) -> Option<Vec<DeltaField>> {
    schema.fields.iter().map(DeltaField::from_flowc).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_survives_the_json() {
        let primitives = [
            DataType::Boolean,
            DataType::Byte,
            DataType::Short,
            DataType::Integer,
            DataType::Long,
            DataType::Float,
            DataType::Double,
            DataType::Decimal { precision: 38, scale: 18 },
            DataType::String,
            DataType::Binary,
            DataType::Date,
            DataType::Timestamp,
            DataType::TimestampNtz,
        ];
        let mut fields: Vec<Field> = vec![];
        for (i, data) in primitives.into_iter().enumerate() {
            fields.push(Field::new(format!("p{i}"), Type { data, nullable: i % 2 == 0 }));
        }
        let nested = DataType::Struct(vec![Field::new(
            "a b",
            Type::nullable(DataType::Array(Box::new(Type::new(DataType::Long)))),
        )]);
        fields.push(Field {
            comment: Some("what it \"is\"".into()),
            ..Field::new("m", Type::new(DataType::Map(Box::new(DataType::String), Box::new(Type::nullable(nested)))))
        });
        let schema = Schema::new(fields);
        let text = to_text(&from_flowc(&schema).expect("all types are Delta's"));
        assert_eq!(to_flowc(&parse(&text).expect("parses")).expect("all types are flowc's"), schema);
    }

    #[test]
    fn unknown_types_are_named_with_their_column() {
        let text = r#"{"type":"struct","fields":[{"name":"a","type":{"type":"array","elementType":{"type":"struct","fields":[
            {"name":"v","type":"variant","nullable":true,"metadata":{}}]},"containsNull":true},"nullable":true,"metadata":{}}]}"#;
        let error = to_flowc(&parse(text).expect("parses")).expect_err("variant is unknown");
        assert_eq!(error, UnknownType { column: "a.element.v".into(), ty: "variant".into() });
    }

    #[test]
    fn invariants_are_found() {
        let text = r#"{"type":"struct","fields":[{"name":"x","type":"integer","nullable":true,
            "metadata":{"delta.invariants":"{\"expression\": { \"expression\": \"x > 3\"} }"}}]}"#;
        let mut found = vec![];
        parse(text).expect("parses")[0].invariants("", &mut found);
        assert_eq!(found, [("invariant of x".to_string(), "x > 3".to_string())]);
    }
}
