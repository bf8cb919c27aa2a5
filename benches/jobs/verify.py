"""What a result comes to: its rows, a sum over the hashes of its keys, and its numbers, each weighted by its keys. Neither depends on the order of the rows.

Usage: verify.py JOB DATA SENSOR [OUT]. Without OUT: of DuckDB's own answer, over the data files of the tables. Prints a line of JSON."""

import json
import sys

import duckdb
from deltalake import DeltaTable

from jobs import JOBS, sql, tables
from peers import DUCKDB


def files(table):
    return "read_parquet([%s])" % ", ".join(f"'{file}'" for file in DeltaTable(table).file_uris())


def expected(connection, name, data):
    """The query of the answer. A table that is merged into keeps what it had of devices without a reading."""
    if not JOBS[name].merged:
        return sql(name, **DUCKDB)
    connection.execute(f"CREATE VIEW both_ AS SELECT * FROM sensor UNION ALL BY NAME SELECT * FROM {files(f'{data}/latest_seed')}")
    return sql(name, **DUCKDB).replace("FROM sensor", "FROM both_")


def summary(connection, job):
    """Of the view `result`."""
    types = {name: kind for name, kind, *_ in connection.execute("DESCRIBE result").fetchall()}

    def plain(name):
        # Windows begin at a timestamp for some and at an integer for others, and an integer has as many bits as an engine likes.
        if types[name].startswith("TIMESTAMP"):
            return f'epoch_us("{name}") // {job.unit}'
        return f'"{name}"' if types[name] == "VARCHAR" else f'"{name}"::BIGINT'

    keys = ", ".join(plain(name) for name in job.keys.split())
    sums = [f'sum("{name}"::DOUBLE * (1 + hash({keys}) % 1009))' for name in job.numbers.split()]
    hashed = f"sum(hash({keys})::HUGEINT)::VARCHAR"
    return list(connection.execute(f"SELECT {', '.join(['count(*)', hashed, *sums])} FROM result").fetchone())


def known(connection, data):
    """How many rows of a merged table are rows that there were: of several readings at the latest time any may be the one."""
    seed = f"SELECT id, timestamp, value FROM {files(f'{data}/latest_seed')}"
    rows = f"SELECT id, timestamp, value FROM sensor UNION ALL {seed}"
    query = f"SELECT count(*) FROM (SELECT DISTINCT * FROM ({rows}) SEMI JOIN result USING (id, timestamp, value))"
    return connection.execute(query).fetchone()[0]


def main(name, data, sensor, out=None):
    connection = duckdb.connect()
    for table, path in tables(name, data, sensor).items():
        connection.execute(f"CREATE VIEW {table} AS SELECT * FROM {files(path)}")
    result = f"SELECT * FROM {files(out)}" if out else expected(connection, name, data)
    connection.execute(f"CREATE VIEW result AS {result}")
    found = summary(connection, JOBS[name])
    if JOBS[name].merged:
        found.append(known(connection, data))
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
