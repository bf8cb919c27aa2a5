//! Reads checkpoints: Parquet files in one or several parts, and version 2 checkpoints with their sidecars. Their rows become the same lines that
//! commits have.

use super::actions::Line;
use crate::storage::{Storage, StorageError, one_line, percent_decode};
use arrow::json::writer::{LineDelimited, WriterBuilder};
use deltalake::logstore::object_store::path::Path;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

/// All lines of a checkpoint, its sidecars' included.
pub async fn read(storage: &Storage, files: &[Path]) -> Result<Vec<Line>, StorageError> {
    let mut lines = vec![];
    for file in files {
        lines.extend(read_file(storage, file).await?);
    }
    let sidecars: Vec<String> = lines.iter().filter_map(|l| l.sidecar.as_ref().map(|s| s.path.clone())).collect();
    for sidecar in sidecars {
        let path = if sidecar.contains("://") {
            storage.resolve(&sidecar)?.1
        } else {
            Path::from("_delta_log").join("_sidecars").join(percent_decode(&sidecar).as_str())
        };
        lines.extend(read_file(storage, &path).await?);
    }
    Ok(lines)
}

async fn read_file(storage: &Storage, path: &Path) -> Result<Vec<Line>, StorageError> {
    let bytes = storage.get(path).await?;
    let damaged = |why: String| StorageError::Damaged(format!("checkpoint file {path}: {why}"));
    let text =
        if path.as_ref().ends_with(".json") { bytes } else { to_json(bytes).map_err(|e| damaged(one_line(&e)))? };
    let lines = text.split(|b| *b == b'\n').filter(|l| !l.iter().all(u8::is_ascii_whitespace));
    lines.map(|line| parse(line).map_err(|e| damaged(e.to_string()))).collect()
}

fn parse(line: &[u8]) -> serde_json::Result<Line> {
    let mut line: Line = serde_json::from_slice(line)?;
    if let Some(add) = &mut line.add
        && let (None, Some(parsed)) = (&add.stats, add.stats_parsed.take())
    {
        add.stats = Some(parsed.to_string());
    }
    Ok(line)
}

fn to_json(bytes: Vec<u8>) -> Result<Vec<u8>, parquet::errors::ParquetError> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes::Bytes::from(bytes), options)?;
    let wanted = ["add", "remove", "metaData", "protocol", "txn", "sidecar"];
    let columns = builder.parquet_schema().columns().iter().enumerate().filter(|(_, column)| {
        let parts = column.path().parts();
        wanted.contains(&parts[0].as_str()) && parts.get(1).is_none_or(|p| p != "partitionValues_parsed")
    });
    let mask = ProjectionMask::leaves(builder.parquet_schema(), columns.map(|(i, _)| i).collect::<Vec<_>>());
    let reader = builder.with_projection(mask).build()?;
    let mut out = vec![];
    // Nulls must be written: a partition value that is null is not the same as none.
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut out);
    for batch in reader {
        writer.write(&batch?)?;
    }
    writer.finish()?;
    drop(writer);
    Ok(out)
}
