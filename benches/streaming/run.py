"""Measures streams: whole jobs in a few large epochs and in one a file, latency from commit to commit, and what a state costs.

Usage: run.py FLOWC WAREHOUSE [minute] [nexmark] [latency] [state]

WAREHOUSE is a directory with Delta tables: `sensor_20m` (id integer, timestamp long in milliseconds, value double?), and `nexmark/{bid,auction,person}` as examples/nexmark makes them. The
tables `events` and `keys` are made here, sinks are written to `WAREHOUSE/out`. Needs the Python packages deltalake, pyarrow and numpy. Prints a line of JSON a measurement."""

import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

HERE = pathlib.Path(__file__).parent
NEXMARK = HERE.parent.parent / "examples" / "nexmark"


def report(**fields):
    print(json.dumps(fields), flush=True)


def peak(flowc, program, warehouse, state, *flags):
    """Runs a job to its end: wall seconds, CPU seconds, peak memory in MB, and its documents."""
    command = [flowc, "run", str(program), "--param", f"warehouse={warehouse}", "--state", state, "--format", "json", *flags]
    begun = time.time()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lines = process.stdout.read().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return time.time() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, [json.loads(line) for line in lines]


def fresh(warehouse, *names):
    for name in names:
        shutil.rmtree(warehouse / name, ignore_errors=True)
    return tempfile.mkdtemp(prefix="flowc-bench-")


def job(flowc, label, program, warehouse, sink, rounds=3):
    for mode, flags in (("bounded", ["--drain"]), ("an epoch a file", ["--drain", "--epoch-files", "1"])):
        seconds, memory, rows = [], [], 0
        for _ in range(rounds):
            state = fresh(warehouse, sink)
            wall, cpu, mb, lines = peak(flowc, program, warehouse, state, *flags)
            rows = sum(source["rows"] for source in lines[-1]["sources"])
            seconds.append(wall)
            memory.append(mb)
            shutil.rmtree(state)
        median = statistics.median(seconds)
        report(job=label, mode=mode, seconds=round(median, 2), rows=rows, rows_per_second=int(rows / median), peak_mb=int(max(memory)), cpu=round(cpu, 2), epochs=lines[-1]["epochs"])


def minute(flowc, warehouse):
    job(flowc, "minute", HERE / "minute.flow", warehouse, "out/minute")


def nexmark(flowc, warehouse):
    for query in ("q5", "q7", "q8"):
        job(flowc, query, NEXMARK / f"{query}.flow", warehouse / "nexmark", query, rounds=1)


def commit_time(table, version):
    return (table / "_delta_log" / f"{version:020}.json").stat().st_mtime_ns / 1e9


def latency(flowc, warehouse):
    """From a commit to the source to the commit of its rows, for commits of so many rows, as fast as they are asked for. Stateless, and counted by the minute."""
    for program, sink in (("pass", "passed"), ("live", "live")):
        for rate, rows in ((1, 1000), (10, 1000), (100, 1000), (10, 10000), (100, 10000)):
            waits, epochs = followed(flowc, warehouse, program, sink, rate, rows)
            report(job="latency", program=program, commits_per_second=rate, rows_a_commit=rows, commits=len(waits), epochs=epochs,
                   p50_ms=round(1000 * statistics.median(waits)), p99_ms=round(1000 * waits[int(0.99 * (len(waits) - 1))]))


def append(table, version, rows):
    """A commit of rows of this second. It is written by hand, because a library takes longer than there is between two of a hundred a second."""
    now = int(time.time() * 1_000_000)
    data = pa.table({"id": pa.array(np.arange(rows), pa.int64()), "value": pa.array(np.random.rand(rows)), "at": pa.array(np.full(rows, now), pa.timestamp("us", tz="UTC"))})
    name = f"part-{version}.parquet"
    pq.write_table(data, table / name)
    add = {"add": {"path": name, "partitionValues": {}, "size": (table / name).stat().st_size, "modificationTime": now // 1000, "dataChange": True}}
    log = table / "_delta_log"
    draft = log / f".{version}.draft"
    draft.write_text(json.dumps({"commitInfo": {"timestamp": now // 1000, "operation": "WRITE"}}) + "\n" + json.dumps(add) + "\n")
    draft.rename(log / f"{version:020}.json")


def followed(flowc, warehouse, program, sink, rate, rows):
    """Commits while a run follows: how long each took to be committed, in order, and how many epochs there were."""
    state = fresh(warehouse, "events", f"out/{sink}")
    source, sink = warehouse / "events", warehouse / "out" / sink
    write_deltalake(source, pa.table({"id": pa.array([0], pa.int64()), "value": pa.array([0.0]), "at": pa.array([0], pa.timestamp("us", tz="UTC"))}))
    command = [flowc, "run", str(HERE / f"{program}.flow"), "--param", f"warehouse={warehouse}", "--state", state, "--follow", "--format", "json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    epochs = []
    reader = threading.Thread(target=lambda: epochs.extend(json.loads(line) for line in process.stdout), daemon=True)
    reader.start()
    while not (sink / "_delta_log").is_dir():
        time.sleep(0.05)
    begun = time.time()
    for n in range(1, min(20 * rate, 600) + 1):
        append(source, n, rows)
        time.sleep(max(0, begun + n / rate - time.time()))
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    process.wait()
    reader.join()
    shutil.rmtree(state)
    waits = []
    for epoch in (e for e in epochs if e["type"] == "epoch"):
        words = epoch["sources"][0]["range"].split()[1].rstrip(",").split("..") if epoch["sources"] else []
        if words:
            written = commit_time(sink, epoch["sinks"][0]["version"])
            waits += [written - commit_time(source, v) for v in range(int(words[0]), int(words[-1]) + 1) if v > 0]
    return sorted(waits), sum(e["type"] == "epoch" for e in epochs)


def state(flowc, warehouse, keys=10_000_000):
    """A state of many keys, in memory and larger than it: bytes for all of them, for a hundredth of them changed, and the time to read it again."""
    for memory in ("6GiB", "256MiB"):
        state_of(flowc, warehouse, keys, memory)


def state_of(flowc, warehouse, keys, memory):
    directory = fresh(warehouse, "keys", "out/day")
    at = lambda n: pa.array(np.full(n, 1_767_225_600_000_000), pa.timestamp("us", tz="UTC"))
    part = lambda ids: pa.table({"id": pa.array(ids, pa.int64()), "value": pa.array(np.random.rand(len(ids))), "at": at(len(ids))})
    for start in range(0, keys, 2_000_000):
        write_deltalake(warehouse / "keys", part(np.arange(start, min(keys, start + 2_000_000))), mode="append")
    flags = ["--memory", memory]
    wall, cpu, mb, lines = peak(flowc, HERE / "keys.flow", warehouse, directory, *flags)
    files = lambda: {f.name: f.stat().st_size for f in pathlib.Path(directory, "operators").iterdir()}
    before = files()
    report(job="state", memory=memory, what="all keys", keys=keys, seconds=round(wall, 2), peak_mb=int(mb), stored_bytes=sum(before.values()))
    # What was added to the first segment may have outgrown it: the first of these epochs then writes everything anew.
    for what, count in (("a hundredth changed", keys // 100), ("a hundredth changed", keys // 100), ("a thousand changed", 1000)):
        write_deltalake(warehouse / "keys", part(np.random.choice(keys, count, replace=False)), mode="append")
        wall, cpu, mb, lines = peak(flowc, HERE / "keys.flow", warehouse, directory, *flags)
        after = files()
        written = sum(size for name, size in after.items() if name not in before)
        report(job="state", memory=memory, what=f"{what}, after a restart", seconds=round(wall, 2), peak_mb=int(mb), written_bytes=written)
        before = after
    wall, cpu, mb, lines = peak(flowc, HERE / "keys.flow", warehouse, directory, *flags, "--drain")
    report(job="state", memory=memory, what="all keys come out", seconds=round(wall, 2), peak_mb=int(mb))
    shutil.rmtree(directory)


def main():
    flowc, warehouse, *what = sys.argv[1:]
    warehouse = pathlib.Path(warehouse).absolute()
    (warehouse / "out").mkdir(exist_ok=True)
    for name in what or ["minute", "nexmark", "latency", "state"]:
        globals()[name](str(pathlib.Path(flowc).absolute()), warehouse)


main()
