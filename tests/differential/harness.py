"""What the comparisons with DuckDB have in common: running flowc, reading Delta tables, comparing rows as multisets."""

import datetime
import decimal
import math
import subprocess
import sys

import duckdb
import pyarrow as pa
from deltalake import DeltaTable


class Flowc:
    """The binary. Every run has to end, and to end well; how many there were is counted."""

    def __init__(self, path):
        self.path = path
        self.runs = 0

    def __call__(self, cwd, *words):
        self.runs += 1
        ran = subprocess.run([self.path, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=300)
        if ran.returncode != 0:
            sys.exit(f"flowc {' '.join(map(str, words))}: exit status {ran.returncode}\n{ran.stdout}{ran.stderr}")
        return ran.stdout


def naive(table):
    """The table with the timestamps of UTC as DuckDB takes them without knowing of time zones."""
    plain = {f.name: table[f.name].cast(pa.timestamp("us")) if pa.types.is_timestamp(f.type) else table[f.name] for f in table.schema}
    return pa.table(plain)


def delta(path):
    """The rows of a Delta table; none if there is none, as where nothing was ever written."""
    return naive(DeltaTable(path).to_pyarrow_table()) if (path / "_delta_log").exists() else None


def connect(**tables):
    """DuckDB with these tables in it."""
    db = duckdb.connect()
    db.execute("SET threads = 2")
    for name, table in tables.items():
        db.register("arrow_table", table)
        db.execute(f"CREATE TABLE {name} AS SELECT * FROM arrow_table")
        db.unregister("arrow_table")
    return db


def rows_of(relation):
    """Column names and rows of a query's result."""
    return [d[0] for d in relation.description], relation.fetchall()


def normal(value):
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, decimal.Decimal):
        return float(value)
    return value


def same(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return a == b or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) or (a != a and b != b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b and (a is None) == (b is None)


def sort_key(row):
    """Numbers with a fraction come last, and rounded: two sides may differ in their last digits."""
    exact = tuple("" if isinstance(v, float) else repr(v) for v in row)
    return exact, tuple(f"{v:.6g}" if isinstance(v, float) else "" for v in row)


def compare(what, found, names, wanted, report=print):
    """Whether the Arrow table `found` (none: no rows) has the rows `wanted` with the columns `names`, in any order; reports what differs."""
    if found is None:
        got = []
    elif missing := set(names) ^ set(found.column_names):
        report(f"DIFFERS  {what}: only one side has the columns {', '.join(sorted(missing))}")
        return False
    else:
        columns = [found[name].to_pylist() for name in names]
        got = sorted((tuple(map(normal, row)) for row in zip(*columns)), key=sort_key)
    wanted = sorted((tuple(map(normal, row)) for row in wanted), key=sort_key)
    if len(got) == len(wanted) and all(all(map(same, a, b)) for a, b in zip(got, wanted)):
        return True
    # What only one side has; rows that differ in last digits only are alike.
    alike = lambda row: tuple(float(f"{v:.6g}") if isinstance(v, float) and v == v else repr(v) for v in row)
    ours, theirs = {}, {}
    for side, rows in ((ours, got), (theirs, wanted)):
        for row in rows:
            side.setdefault(alike(row), []).append(row)
    extra = [r for k, v in ours.items() for r in v[len(theirs.get(k, ())) :]]
    lacking = [r for k, v in theirs.items() for r in v[len(ours.get(k, ())) :]]
    report(f"DIFFERS  {what}: flowc {len(got)} rows, reference {len(wanted)}; columns {names}")
    for label, rows in (("only flowc", extra), ("only the reference", lacking)):
        for row in rows[:3]:
            report(f"  {label}: {row}")
        if len(rows) > 3:
            report(f"  {label}: {len(rows) - 3} more")
    return False
