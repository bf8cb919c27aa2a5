//! Compresses pages as their column chunk says, with contexts that are kept from page to page. Pure.

use super::Unfit;
use parquet::basic::Compression;
use std::io::Error;

/// As fast as Parquet's writers of this level are by default.
const ZSTD_LEVEL: i32 = 1;

/// Compresses with one codec and back.
pub enum Codec {
    /// Bytes stay as they are.
    Plain,
    /// Snappy's blocks.
    Snappy(Box<(snap::raw::Encoder, snap::raw::Decoder)>),
    /// Zstandard's frames.
    Zstd(Box<(zstd::bulk::Compressor<'static>, zstd::bulk::Decompressor<'static>)>),
}

impl Codec {
    /// The codec of a column chunk.
    pub fn new(compression: Compression) -> Result<Codec, Unfit> {
        let failed = |_: Error| Unfit("a compression");
        match compression {
            Compression::UNCOMPRESSED => Ok(Codec::Plain),
            Compression::SNAPPY => Ok(Codec::Snappy(Box::new((snap::raw::Encoder::new(), snap::raw::Decoder::new())))),
            Compression::ZSTD(_) => {
                let compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(failed)?;
                let decompressor = zstd::bulk::Decompressor::new().map_err(failed)?;
                Ok(Codec::Zstd(Box::new((compressor, decompressor))))
            }
            _ => Err(Unfit("a compression")),
        }
    }

    /// So many bytes, decompressed. Snappy's blocks say themselves how many they are.
    pub fn decompress(&mut self, bytes: &[u8], size: usize) -> Result<Vec<u8>, Unfit> {
        let damaged = Unfit("a compressed page");
        let out = match self {
            _ if size == 0 => vec![],
            Codec::Plain => bytes.to_vec(),
            Codec::Snappy(_) if snap::raw::decompress_len(bytes).ok() != Some(size) => return Err(damaged),
            Codec::Snappy(both) => both.1.decompress_vec(bytes).map_err(|_| damaged)?,
            Codec::Zstd(both) => both.1.decompress(bytes, size).map_err(|_| damaged)?,
        };
        if out.len() == size { Ok(out) } else { Err(damaged) }
    }

    /// Bytes, compressed.
    pub fn compress(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Unfit> {
        match self {
            Codec::Plain => Ok(bytes),
            Codec::Snappy(both) => both.0.compress_vec(&bytes).map_err(|_| Unfit("a page too large to compress")),
            Codec::Zstd(both) => both.0.compress(&bytes).map_err(|_| Unfit("a page too large to compress")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_back() {
        let bytes: Vec<u8> = (0..5000u32).map(|i| (i * i % 7) as u8).collect();
        for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(Default::default())] {
            let mut codec = Codec::new(compression).expect("a codec");
            for bytes in [bytes.clone(), vec![]] {
                let small = codec.compress(bytes.clone()).expect("compresses");
                assert_eq!(codec.decompress(&small, bytes.len()).expect("decompresses"), bytes);
                assert!(codec.decompress(&small, bytes.len() + 1).is_err());
            }
        }
        assert!(Codec::new(Compression::LZ4).is_err());
    }
}
