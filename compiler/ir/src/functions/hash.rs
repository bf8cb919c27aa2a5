//! Hashes and encodings. `hash` and `xxhash64` give what Spark gives.

use super::operand::{argument, bytes, integer, long, string};
use super::{Call, Category, Function};
use crate::eval::Failure;
use crate::types::DataType;
use crate::value::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest;
use xxhash_rust::xxh64::xxh64;

const HASH: Category = Category::Hash;

/// Spark's seed.
const SEED: u32 = 42;

/// The functions of this topic.
pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "md5",
        HASH,
        &["md5(text: string) -> string", "md5(x: binary) -> string"],
        "The MD5 digest in hexadecimal digits.",
        &[("md5(\"Spark\")", "\"8cde774d6f7333752ed72cacddb05126\"")],
        |_, args| Ok(Value::String(hex::encode(md5::Md5::digest(bytes(&args[0]))))),
    ),
    Function::new(
        "sha1",
        HASH,
        &["sha1(text: string) -> string", "sha1(x: binary) -> string"],
        "The SHA-1 digest in hexadecimal digits.",
        &[("sha1(\"Spark\")", "\"85f5955f4b27a9a4c2aab6ffe5d7189fc298b92c\"")],
        |_, args| Ok(Value::String(hex::encode(sha1::Sha1::digest(bytes(&args[0]))))),
    ),
    Function::new(
        "sha2",
        HASH,
        &["sha2(text: string, bits: integer) -> string?", "sha2(x: binary, bits: integer) -> string?"],
        "The SHA-2 digest of 224, 256 (or 0), 384 or 512 bits in hexadecimal digits; null for other numbers of bits.",
        &[("sha2(\"Spark\", 256)", "\"529bc3b07127ecb7e53a4dcf1991d9152c24537d919178022b2c42657f79a26b\"")],
        |_, args| {
            let data = bytes(&args[0]);
            Ok(match integer(&args[1]) {
                224 => Value::String(hex::encode(sha2::Sha224::digest(data))),
                0 | 256 => Value::String(hex::encode(sha2::Sha256::digest(data))),
                384 => Value::String(hex::encode(sha2::Sha384::digest(data))),
                512 => Value::String(hex::encode(sha2::Sha512::digest(data))),
                _ => Value::Null,
            })
        },
    ),
    Function::new(
        "crc32",
        HASH,
        &["crc32(text: string) -> long", "crc32(x: binary) -> long"],
        "The CRC-32 checksum.",
        &[("crc32(\"Spark\")", "1557323817")],
        |_, args| Ok(Value::Long(i64::from(crc32fast::hash(bytes(&args[0]))))),
    ),
    Function::new(
        "hash",
        HASH,
        &["hash(xs: any...) -> integer"],
        "A 32-bit hash of the operands (Murmur3), equal to Spark's. Never null: nulls are passed over.",
        &[("hash(\"Spark\", [123], 2)", "-1321691492"), ("hash(null)", "42")],
        |call, args| {
            let hashed = args.iter().zip(call.args).fold(SEED, |seed, (v, t)| murmur(v, &t.data, seed));
            Ok(Value::Integer(hashed as i32))
        },
    )
    .sees_nulls(None),
    Function::new(
        "xxhash64",
        HASH,
        &["xxhash64(xs: any...) -> long"],
        "A 64-bit hash of the operands (xxHash), equal to Spark's. Never null: nulls are passed over.",
        &[("xxhash64(\"Spark\", [123], 2)", "5602566077635097486")],
        |call, args| {
            let seed = u64::from(SEED);
            Ok(Value::Long(args.iter().zip(call.args).fold(seed, |seed, (v, t)| xx(v, &t.data, seed)) as i64))
        },
    )
    .sees_nulls(None),
    Function::new(
        "base64",
        HASH,
        &["base64(text: string) -> string", "base64(x: binary) -> string"],
        "The bytes in base 64.",
        &[("base64(\"Spark SQL\")", "\"U3BhcmsgU1FM\"")],
        |_, args| Ok(Value::String(STANDARD.encode(bytes(&args[0])))),
    ),
    Function::new(
        "unbase64",
        HASH,
        &["unbase64(text: string) -> binary"],
        "The bytes that a text in base 64 stands for. Fails for other texts.",
        &[("unbase64(\"U3BhcmsgU1FM\") as string", "\"Spark SQL\"")],
        |_, args| {
            let decoded = STANDARD.decode(string(&args[0]).trim());
            decoded.map(Value::Binary).map_err(|e| argument(format!("the text is not base 64: {e}")))
        },
    )
    .failing(),
    Function::new(
        "hex",
        HASH,
        &["hex(x: long) -> string", "hex(text: string) -> string", "hex(x: binary) -> string"],
        "A number, or bytes, in hexadecimal digits.",
        &[("hex(17)", "\"11\""), ("hex(\"Spark SQL\")", "\"537061726B2053514C\"")],
        |_, args| {
            Ok(Value::String(match &args[0] {
                Value::Long(_) => format!("{:X}", long(&args[0])),
                other => hex::encode_upper(bytes(other)),
            }))
        },
    ),
    Function::new(
        "unhex",
        HASH,
        &["unhex(text: string) -> binary?"],
        "The bytes that hexadecimal digits stand for; null for other texts.",
        &[("unhex(\"537061726B\") as string", "\"Spark\""), ("unhex(\"x\")", "null")],
        |_, args| {
            let s = string(&args[0]);
            let even = if s.len() % 2 == 1 { format!("0{s}") } else { s.to_string() };
            Ok(hex::decode(even).map_or(Value::Null, Value::Binary))
        },
    ),
    Function::new(
        "encode",
        HASH,
        &["encode(text: string) -> binary"],
        "The bytes of the text in UTF-8.",
        &[("hex(encode(\"ä\"))", "\"C3A4\"")],
        |_, args| Ok(Value::Binary(bytes(&args[0]).to_vec())),
    ),
    Function::new(
        "decode",
        HASH,
        &["decode(x: binary) -> string"],
        "The text that the bytes are in UTF-8. Fails where they are not.",
        &[("decode(encode(\"ä\"))", "\"ä\"")],
        decode,
    )
    .failing(),
];

fn decode(_: &Call<'_>, args: &[Value]) -> Result<Value, Failure> {
    let decoded = String::from_utf8(bytes(&args[0]).to_vec());
    decoded.map(Value::String).map_err(|e| argument(format!("the bytes are not UTF-8: {}", e.utf8_error())))
}

/// How a value of a type goes into a hash: as a word, as two words, as bytes, or as its parts.
enum Fed<'a> {
    Nothing,
    Word(u32),
    Double(u64),
    Bytes(Vec<u8>),
    Borrowed(&'a [u8]),
    Parts(Vec<(&'a Value, &'a DataType)>),
}

fn feed<'a>(value: &'a Value, data: &'a DataType) -> Fed<'a> {
    match (value, data) {
        (Value::Null, _) => Fed::Nothing,
        (Value::Boolean(v), _) => Fed::Word(u32::from(*v)),
        (Value::Byte(v), _) => Fed::Word(i32::from(*v) as u32),
        (Value::Short(v), _) => Fed::Word(i32::from(*v) as u32),
        (Value::Integer(v) | Value::Date(v), _) => Fed::Word(*v as u32),
        (Value::Long(v) | Value::Timestamp(v) | Value::TimestampNtz(v) | Value::Duration(v), _) => {
            Fed::Double(*v as u64)
        }
        // Adding zero turns -0.0 into 0.0, which equals it.
        (Value::Float(v), _) => Fed::Word(if v.is_nan() { f32::NAN } else { v + 0.0 }.to_bits()),
        (Value::Double(v), _) => Fed::Double(if v.is_nan() { f64::NAN } else { v + 0.0 }.to_bits()),
        (Value::Decimal(v), DataType::Decimal { precision: ..=18, .. }) => Fed::Double(*v as i64 as u64),
        (Value::Decimal(v), _) => Fed::Bytes(shortest(*v)),
        (Value::String(_) | Value::Binary(_), _) => Fed::Borrowed(bytes(value)),
        (Value::Array(items), DataType::Array(item)) => Fed::Parts(items.iter().map(|v| (v, &item.data)).collect()),
        (Value::Struct(values), DataType::Struct(fields)) => {
            Fed::Parts(values.iter().zip(fields).map(|(v, f)| (v, &f.ty.data)).collect())
        }
        (Value::Map(entries), DataType::Map(key, item)) => {
            let both = |(k, v)| [(k, key.as_ref()), (v, &item.data)];
            Fed::Parts(entries.iter().map(|(k, v)| (k, v)).flat_map(both).collect())
        }
        _ => Fed::Nothing,
    }
}

/// A two's complement number in as few bytes as hold it, the highest first, as Java's `BigInteger`.
fn shortest(v: i128) -> Vec<u8> {
    let all = v.to_be_bytes();
    let fill = if v < 0 { 0xff } else { 0 };
    let spare = |i: usize| all[i] == fill && (all[i + 1] ^ fill) & 0x80 == 0;
    let from = (0..15).find(|i| !spare(*i)).unwrap_or(15);
    all[from..].to_vec()
}

fn murmur(value: &Value, data: &DataType, seed: u32) -> u32 {
    let words = |words: &[u32]| finish(words.iter().fold(seed, |h, w| mix(h, *w)), words.len() as u32 * 4);
    match feed(value, data) {
        Fed::Nothing => seed,
        Fed::Word(w) => words(&[w]),
        Fed::Double(d) => words(&[d as u32, (d >> 32) as u32]),
        Fed::Bytes(b) => murmur_bytes(&b, seed),
        Fed::Borrowed(b) => murmur_bytes(b, seed),
        Fed::Parts(parts) => parts.iter().fold(seed, |seed, (v, t)| murmur(v, t, seed)),
    }
}

fn mix(hash: u32, word: u32) -> u32 {
    let word = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    (hash ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

fn finish(hash: u32, length: u32) -> u32 {
    let mut h = hash ^ length;
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

/// Spark mixes the bytes behind the last whole word one by one, each with its sign.
fn murmur_bytes(bytes: &[u8], seed: u32) -> u32 {
    let mut words = bytes.chunks_exact(4);
    let mut hash = seed;
    for word in words.by_ref() {
        hash = mix(hash, u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    }
    for byte in words.remainder() {
        hash = mix(hash, i32::from(*byte as i8) as u32);
    }
    finish(hash, bytes.len() as u32)
}

fn xx(value: &Value, data: &DataType, seed: u64) -> u64 {
    match feed(value, data) {
        Fed::Nothing => seed,
        Fed::Word(w) => xxh64(&w.to_le_bytes(), seed),
        Fed::Double(d) => xxh64(&d.to_le_bytes(), seed),
        Fed::Bytes(b) => xxh64(&b, seed),
        Fed::Borrowed(b) => xxh64(b, seed),
        Fed::Parts(parts) => parts.iter().fold(seed, |seed, (v, t)| xx(v, t, seed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortest_bytes() {
        assert_eq!(shortest(0), [0]);
        assert_eq!(shortest(127), [127]);
        assert_eq!(shortest(128), [0, 128]);
        assert_eq!(shortest(-128), [128]);
        assert_eq!(shortest(-129), [255, 127]);
        assert_eq!(shortest(i128::MIN).len(), 16);
    }

    #[test]
    fn murmur_of_integers_equals_spark() {
        assert_eq!(murmur(&Value::Integer(1), &DataType::Integer, SEED) as i32, -559_580_957);
        assert_eq!(murmur(&Value::Long(1), &DataType::Long, SEED) as i32, -1_712_319_331);
    }
}
