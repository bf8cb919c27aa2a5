"""flowc beside other engines: expressions whose meaning is SQL's against DuckDB, tables that flowc wrote against delta-rs, tables that delta-rs wrote
against flowc. Usage: run.py PATH_OF_FLOWC"""

import datetime
import decimal
import json
import math
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FLOWC = pathlib.Path(sys.argv[1]).resolve()
ROWS = 500


def flowc(*words, cwd, status=0):
    ran = subprocess.run([FLOWC, *map(str, words)], cwd=cwd, capture_output=True, text=True)
    if ran.returncode != status:
        sys.exit(f"flowc {' '.join(map(str, words))}: exit status {ran.returncode}\n{ran.stdout}{ran.stderr}")
    return ran.stdout


def expressions():
    """Pairs of a flowc expression and DuckDB's."""
    lines = (HERE / "expressions.txt").read_text().splitlines()
    return [tuple(part.strip() for part in line.split(" ~ ")) for line in lines if line and not line.startswith("#")]


def data(zone):
    """The same rows in each run: ordinary and extreme values, a tenth of them null."""
    rng = random.Random(20261122)
    words = ["alpha", "beta", "", " gamma ", "delta", "12", "-7", "Ångström", "a_b", "zz top", "mma"]
    base = datetime.datetime(2024, 1, 1, tzinfo=zone)
    makers = {
        "i": (pa.int32(), lambda: rng.choice([0, 1, 2, 3, -1, -7, 7, 1000, rng.randint(-100_000, 100_000)])),
        "l": (pa.int64(), lambda: rng.choice([0, 1, -1, 10**15, -(10**15), rng.randint(-(10**9), 10**9)])),
        "d": (pa.float64(), lambda: rng.choice([0.0, 1.5, -2.5, 1e-9, 1e6, rng.uniform(-1000, 1000)])),
        "s": (pa.string(), lambda: rng.choice(words)),
        "b": (pa.bool_(), lambda: rng.random() < 0.5),
        "day": (pa.date32(), lambda: (base + datetime.timedelta(days=rng.randint(-20_000, 20_000))).date()),
        "ts": (pa.timestamp("us", tz="UTC" if zone else None), lambda: base + datetime.timedelta(microseconds=rng.randint(-(10**15), 10**15))),
        "m": (pa.decimal128(10, 2), lambda: decimal.Decimal(rng.randint(-10_000_000, 10_000_000)) / 100),
        "xs": (pa.list_(pa.int32()), lambda: [rng.randint(0, 5) for _ in range(rng.randint(0, 4))]),
    }
    columns = {"n": pa.array(range(ROWS), pa.int64())}
    for name, (kind, make) in makers.items():
        columns[name] = pa.array([None if rng.random() < 0.1 else make() for _ in range(ROWS)], kind)
    return pa.table(columns)


def normal(value):
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, decimal.Decimal):
        return value.normalize()
    return value


def same(a, b):
    a, b = normal(a), normal(b)
    if isinstance(a, float) or isinstance(b, float):
        return a is not None and b is not None and (a == b or math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-300) or (a != a and b != b))
    return a == b and (a is None) == (b is None)


def compare_expressions(work):
    pairs = expressions()
    pq.write_table(data(datetime.timezone.utc), work / "in.parquet")
    columns = ",\n        ".join(f"e{k} = {ours}" for k, (ours, _) in enumerate(pairs))
    program = f'source t = parquet("in.parquet")\nflow f = t\n    |> select n,\n        {columns}\nsink out = f -> parquet("out")\n'
    (work / "expressions.flow").write_text(program)
    flowc("run", "expressions.flow", cwd=work)
    files = sorted((work / "out").glob("*.parquet"))
    got = pa.concat_tables([pq.read_table(f) for f in files]).sort_by("n")
    assert got.num_rows == ROWS, got.num_rows
    db = duckdb.connect()
    db.register("t", data(None))
    compared = differing = 0
    for k, (ours, theirs) in enumerate(pairs):
        wanted = [row[0] for row in db.execute(f"SELECT {theirs} FROM t ORDER BY n").fetchall()]
        found = got.column(f"e{k}").to_pylist()
        wrong = [i for i in range(ROWS) if not same(found[i], wanted[i])]
        compared += ROWS
        if wrong:
            differing += 1
            row = data(None).slice(wrong[0], 1).to_pylist()[0]
            print(f"DIFFERS  {ours}  ~  {theirs}\n  in {len(wrong)} rows, first: flowc {found[wrong[0]]!r}, DuckDB {wanted[wrong[0]]!r}\n  row {row}")
    print(f"expressions: {len(pairs)} compared with DuckDB {duckdb.__version__} over {ROWS} rows, {compared} values, {differing} expressions differ")
    return differing == 0


def compare_tables(work):
    example = work / "sensor"
    shutil.copytree(ROOT / "examples" / "sensor", example, ignore=shutil.ignore_patterns(".flow", "sensor_result"))
    flowc("run", "sensor.flow", cwd=example)
    result = DeltaTable(example / "warehouse" / "sensor_result")
    rows = sorted(result.to_pyarrow_table().to_pylist(), key=lambda r: r["id"])
    assert [r["id"] for r in rows] == [1, 2, 3, 4, 5], rows
    assert [r["level"] for r in rows] == [0, 0, 1, 2, 2], rows
    assert result.metadata().partition_columns == ["day"], result.metadata()
    assert math.isclose(rows[0]["celsius"], (100 - 32) * 5 / 9), rows[0]
    constraint = result.metadata().configuration["delta.constraints.plausible"]
    assert "celsius" in constraint, constraint
    # What another writer appends is what the next run reads.
    more = pa.table(
        {"id": pa.array([6, 7], pa.int32()), "timestamp": pa.array([6000, 7000], pa.int64()), "value": pa.array([32.0, None], pa.float64())},
        schema=pa.schema([pa.field("id", pa.int32(), False), pa.field("timestamp", pa.int64(), False), pa.field("value", pa.float64())]),
    )
    write_deltalake(example / "warehouse" / "sensor", more, mode="append")
    printed = flowc("run", "sensor.flow", cwd=example)
    assert printed == "Sensor 6 reported value 32.0 at 6000\n", printed
    assert DeltaTable(example / "warehouse" / "sensor_result").to_pyarrow_table().num_rows == 6
    actions = [json.loads(line) for line in (example / "warehouse/sensor_result/_delta_log/00000000000000000001.json").read_text().splitlines()]
    assert [a["txn"]["version"] for a in actions if "txn" in a] == [2], actions
    print("tables: written by flowc and read by delta-rs, written by delta-rs and read by flowc: as expected")
    return True


def main():
    with tempfile.TemporaryDirectory() as directory:
        work = pathlib.Path(directory)
        fine = [compare_expressions(work), compare_tables(work)]
    sys.exit(0 if all(fine) else 1)


main()
