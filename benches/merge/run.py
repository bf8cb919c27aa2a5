"""Measures merges into a large Delta table: flowc and delta-rs (the Python package deltalake), the same changed rows into the same table.

Usage: run.py FLOWC WAREHOUSE [rows=1000,1000000] [tables=sorted,shuffled] [kinds=upsert,changes] [engines=flowc,deltalake,polars,duckdb]

In WAREHOUSE, a directory, targets of 20 million rows in 20 files are made where they are missing: `sorted` by the key, so that a file holds a range of keys, `shuffled`, so that each holds keys
from everywhere, and `vectors`, sorted, with deletion vectors (deltalake cannot write them). Each measurement gets a copy, by hard links: data files do not change.
`upsert`: half of the rows are of keys that are there. `changes`: half change a row that is there, a quarter delete one, a quarter add one. (flowc takes deletes of keys that
the source has never brought for no change, so that the quarter of deletes stays in its table here.) `polars` merges with Polars' write_delta, `duckdb` gives the rows of a DuckDB query
to deltalake's merge. Needs the Python packages deltalake, pyarrow and numpy, and polars or duckdb for these. CHECK=1 adds sums of what the tables hold then, to compare (with duckdb). Prints a line of JSON a measurement, and a table at the end: wall and CPU seconds, peak memory in MB, MB read and written; for each engine the best of ROUNDS=1 rounds."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

# The packages are loaded by processes that make data and by those that are measured: the peak memory of a process counts what its parent had when it began.

HERE = pathlib.Path(__file__).parent
FILES, FILE_ROWS = 20, 1_000_000
ROWS = FILES * FILE_ROWS


def columns(ids, seed):
    """Rows with these keys."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute

    random = np.random.default_rng(seed)
    names = pa.compute.binary_join_element_wise("device", pa.array(ids * 2654435761 % 100_000).cast(pa.string()), "-")
    return pa.table({
        "id": pa.array(ids, pa.int64()),
        "name": names,
        "value": pa.array(random.random(len(ids)).round(4)),
        "at": pa.array(1_767_225_600_000_000 + ids * 1_000_000, pa.timestamp("us", tz="UTC")),
        "site": pa.array(random.integers(0, 1000, len(ids)), pa.int32()),
    })


def make_target(warehouse, kind):
    """A table with all keys from 0 on."""
    import numpy as np
    from deltalake import DeltaTable, WriterProperties, write_deltalake

    ids = np.arange(ROWS, dtype=np.int64)
    if kind == "shuffled":
        np.random.default_rng(1).shuffle(ids)
    draft = warehouse / f".{kind}"
    shutil.rmtree(draft, ignore_errors=True)
    properties = {"delta.enableDeletionVectors": "true"} if kind == "vectors" else {}
    if properties:
        DeltaTable.create(draft, schema=columns(ids[:1], 0).schema, configuration=properties)
    for n in range(FILES):
        part = columns(ids[n * FILE_ROWS : (n + 1) * FILE_ROWS], n)
        write_deltalake(draft, part, mode="append", writer_properties=WriterProperties(compression="ZSTD"))
    draft.rename(warehouse / kind)


def make_changed(warehouse, kind, rows):
    """The changed rows, as a Parquet file, and as a CSV file with the word of what happened. Keys in no order."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute
    import pyarrow.csv
    import pyarrow.parquet as pq

    path, rows = warehouse / f"{kind}_{rows}", int(rows)
    random = np.random.default_rng(rows)
    old = random.choice(ROWS, rows * 3 // 4 if kind == "changes" else rows // 2, replace=False)
    ids = np.concatenate([old, np.arange(ROWS, ROWS + rows - len(old))]).astype(np.int64)
    words = np.full(rows, "u")
    if kind == "changes":
        words[: rows // 4] = "d"
    order = random.permutation(rows)
    table = columns(ids[order], rows)
    if kind == "changes":
        table = table.append_column("op", pa.array(words[order]))
        text = table.set_column(3, "at", pa.compute.strftime(table["at"], "%Y-%m-%dT%H:%M:%SZ"))
        pa.csv.write_csv(text, path.with_suffix(".csv"))
    pq.write_table(table, path.with_suffix(".parquet"), compression="zstd")


def usage(command, **more):
    """Wall seconds, CPU seconds, peak memory and what was read in MB (from files, also where the system has them in memory) of a command."""
    begun, read = time.time(), [0]
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **more)

    def watch():
        # What a process has read is gone with it: the last look counts.
        with contextlib.suppress(OSError, IndexError):
            while True:
                read[0] = int(pathlib.Path(f"/proc/{process.pid}/io").read_text().split()[1])
                time.sleep(0.01)

    threading.Thread(target=watch, daemon=True).start()
    error = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{command} ended with {process.returncode}: {error}")
    return time.time() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, read[0] / 1e6


def flowc_merge(flowc, kind, table, source):
    with tempfile.TemporaryDirectory(prefix="flowc-bench-") as state:
        path = source.with_suffix(".csv" if kind == "changes" else ".parquet")
        return usage([flowc, "run", HERE / f"{kind}.flow", "--param", f"rows={path}", "--param", f"target={table}", "--state", state])


# What an engine in Python costs before it does anything counts too, as its process does for flowc.
DELTALAKE = """
import sys, pyarrow.parquet as pq
from deltalake import DeltaTable
kind, table, source = sys.argv[1:]
rows = pq.read_table(source)
merge = DeltaTable(table).merge(rows, "s.id = t.id", source_alias="s", target_alias="t")
names = ["id", "name", "value", "at", "site"]
values = {name: f"s.{name}" for name in names}
if kind == "changes":
    merge = merge.when_matched_delete("s.op = 'd'").when_matched_update(values).when_not_matched_insert(values, "s.op <> 'd'")
else:
    merge = merge.when_matched_update(values).when_not_matched_insert(values)
merge.execute()
"""


def deltalake_merge(_, kind, table, source):
    return usage([sys.executable, "-c", DELTALAKE, kind, table, source.with_suffix(".parquet")])


POLARS = """
import sys, polars as pl
kind, table, source = sys.argv[1:]
rows = pl.read_parquet(source)
options = dict(predicate="s.id = t.id", source_alias="s", target_alias="t")
merge = rows.write_delta(table, mode="merge", delta_merge_options=options)
names = ["id", "name", "value", "at", "site"]
values = {name: f"s.{name}" for name in names}
if kind == "changes":
    merge = merge.when_matched_delete("s.op = 'd'").when_matched_update(values).when_not_matched_insert(values, "s.op <> 'd'")
else:
    merge = merge.when_matched_update(values).when_not_matched_insert(values)
merge.execute()
"""


def polars_merge(_, kind, table, source):
    return usage([sys.executable, "-c", POLARS, kind, table, source.with_suffix(".parquet")])


def duckdb_merge(_, kind, table, source):
    # DuckDB reads Delta tables and cannot merge into them: its rows go to deltalake.
    read = "rows = duckdb.sql(f\"select * from read_parquet('{source}')\").to_arrow_table()"
    script = DELTALAKE.replace("pyarrow.parquet as pq", "duckdb").replace("rows = pq.read_table(source)", read)
    return usage([sys.executable, "-c", script, kind, table, source.with_suffix(".parquet")])


def size(table):
    return sum(f.stat().st_size for f in table.rglob("*") if f.is_file())


def sums(table):
    """How many rows and keys a table has, and sums of columns, to compare engines by. Not for tables with deletion vectors."""
    import duckdb
    from deltalake import DeltaTable

    files = DeltaTable(table).file_uris()
    query = "select count(*), count(distinct id), sum(id), round(sum(value), 1), sum(length(name)), sum(site) from read_parquet($1)"
    print(*duckdb.execute(query, [files]).fetchall()[0])


def in_process(function, *arguments):
    """Calls a function of this file in a process of its own: what it printed."""
    return subprocess.run([sys.executable, __file__, function, *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def measure(flowc, warehouse, engine, kind, name, rows):
    if not (warehouse / name).exists():
        in_process("make_target", warehouse, name)
    source = warehouse / f"{kind}_{rows}"
    if not source.with_suffix(".parquet").exists():
        in_process("make_changed", warehouse, kind, rows)
    best = None
    for _ in range(int(os.environ.get("ROUNDS", "1"))):
        copy = warehouse / f"copy_{name}"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(warehouse / name, copy, copy_function=os.link)
        before = size(copy)
        measured = globals()[f"{engine}_merge"](flowc, kind, copy, source)
        written = size(copy) - before
        best = min(best or measured, measured)
    wall, cpu, peak, read = best
    result = dict(table=name, kind=kind, rows=rows, engine=engine, seconds=round(wall, 2), cpu=round(cpu, 2), peak_mb=round(peak), read_mb=round(read, 1), written_mb=round(written / 1e6, 1))
    if os.environ.get("CHECK"):
        result["sums"] = in_process("sums", copy)
    print(json.dumps(result), flush=True)
    shutil.rmtree(copy)
    return result


def main():
    flowc, warehouse, *more = sys.argv[1:]
    flowc, warehouse = pathlib.Path(flowc).absolute(), pathlib.Path(warehouse).absolute()
    warehouse.mkdir(parents=True, exist_ok=True)
    options = {"rows": "1000,1000000", "tables": "sorted,shuffled", "kinds": "upsert,changes", "engines": "flowc,deltalake"}
    options.update(word.split("=", 1) for word in more)
    chosen = {name: words.split(",") for name, words in options.items()}
    results = []
    for name in chosen["tables"]:
        for kind in chosen["kinds"]:
            for rows in map(int, chosen["rows"]):
                engines = [e for e in chosen["engines"] if name != "vectors" or e == "flowc"]
                results += [measure(flowc, warehouse, engine, kind, name, rows) for engine in engines]
    heads = ["table", "kind", "rows", "engine", "seconds", "cpu", "peak_mb", "read_mb", "written_mb"]
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for result in results:
        print("| " + " | ".join(str(result[head]) for head in heads) + " |")


if sys.argv[1] in ("make_target", "make_changed", "sums"):
    globals()[sys.argv[1]](pathlib.Path(sys.argv[2]), *sys.argv[3:])
else:
    main()
