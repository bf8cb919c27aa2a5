#!/usr/bin/env python3
"""What it costs to keep an aggregate per device right when 0.1% of its 20 million rows change, against computing it anew.

    python benches/changing/upkeep.py FLOWC DIRECTORY [extremes]

FLOWC is a release build, DIRECTORY a place for about 2 GB. Needs the Python packages numpy, pyarrow and deltalake. Prints a table; each figure is the median of
three rounds of change, seconds and MB of the whole process. The rows are compared after each round: an upkeep that is wrong is no upkeep.
With `extremes` the greatest and the least value are kept, too: of those every value is remembered, so that the next one is known when it goes.
"""

import os
import shutil
import statistics
import subprocess
import sys
import time

import deltalake
import numpy
import pyarrow as pa

ROWS, DEVICES, FILES, ROUNDS = 20_000_000, 10_000, 20, 3

PROGRAM = """source readings = delta("{table}") {{ changes by id }}
flow per_device = readings
    |> aggregate readings = count(), mean = avg(value){extremes} by device
sink per_device = per_device -> delta("{out}") {{ mode merge on device }}
"""


def make(table):
    """Files of consecutive ids; devices and values at random."""
    each = ROWS // FILES
    for file in range(FILES):
        rng = numpy.random.default_rng(file)
        ids = numpy.arange(file * each, (file + 1) * each, dtype=numpy.int64)
        devices = rng.integers(DEVICES, size=each, dtype=numpy.int32)
        rows = pa.table({"id": ids, "device": devices, "value": rng.random(each) * 100})
        settings = {"delta.enableChangeDataFeed": "true"}
        deltalake.write_deltalake(table, rows, mode="append", configuration=settings if file == 0 else None)


def change(table, seed):
    """Other values for one row in a thousand, anywhere."""
    rng = numpy.random.default_rng(seed)
    ids = rng.choice(ROWS, ROWS // 1000, replace=False).astype(numpy.int64)
    rows = pa.table({"id": ids, "value": rng.random(len(ids)) * 100})
    target = deltalake.DeltaTable(table)
    merge = target.merge(rows, "t.id = s.id", source_alias="s", target_alias="t")
    merge.when_matched_update(updates={"value": "s.value"}).execute()


def run(flowc, program, state):
    """Seconds and MB of one run."""
    begun = time.monotonic()
    child = subprocess.Popen([flowc, "run", program, "--state", state], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(child.pid, 0)
    took = time.monotonic() - begun
    if status != 0:
        sys.exit(child.stderr.read().decode())
    return took, usage.ru_maxrss / 1024


def rows(table):
    found = deltalake.DeltaTable(table).to_pyarrow_table().to_pylist()
    return sorted((tuple(sorted(row.items())) for row in found))


def main(flowc, directory, extremes=""):
    os.makedirs(directory, exist_ok=True)
    at = lambda name: os.path.join(os.path.abspath(directory), name)
    shutil.rmtree(at("work"), ignore_errors=True)
    if not os.path.exists(at("readings")):
        make(at("readings"))
    os.makedirs(at("work"))

    def program(name):
        path = at(f"work/{name}.flow")
        with open(path, "w") as file:
            more = ", peak = max(value), least = min(value)" if extremes else ""
            file.write(PROGRAM.format(table=at("readings"), out=at(f"work/{name}"), extremes=more))
        return path

    kept = program("kept")
    first = run(flowc, kept, at("work/kept.state"))
    upkeep, anew = [], []
    for turn in range(ROUNDS):
        change(at("readings"), time.time_ns())
        upkeep.append(run(flowc, kept, at("work/kept.state")))
        name = f"anew{turn}"
        anew.append(run(flowc, program(name), at(f"work/{name}.state")))
        if rows(at("work/kept")) != rows(at(f"work/{name}")):
            sys.exit("the rows that were kept right are not those that are computed anew")
    middle = lambda figures: [statistics.median(column) for column in zip(*figures)]
    print(f"{'':34}{'seconds':>9}{'MB':>8}")
    for what, (seconds, megabytes) in [("the first run", first), ("computed anew", middle(anew)), ("kept right, 0.1% changed", middle(upkeep))]:
        print(f"{what:34}{seconds:9.2f}{megabytes:8.0f}")
    print(f"kept right takes 1/{middle(anew)[0] / middle(upkeep)[0]:.0f} of the time")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
