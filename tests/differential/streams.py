"""Steps over streams beside DuckDB: every window with every aggregate, every kind of join, dedup, top, and what can stand behind what, over made-up streams.
Rows behind the watermark, too. Each program runs over all rows at once, and cut into several runs while the tables grow, with one worker and with two.
Usage: streams.py PATH_OF_FLOWC [--seeds FIRST COUNT] [--programs NAME…]"""

import argparse
import json
import pathlib
import random
import sys
import tempfile
import time

import pyarrow as pa
import stream_data
from deltalake import write_deltalake
from harness import Flowc, compare, connect, delta, naive, rows_of
from stream_forms import PROGRAMS
from stream_windows import micros



# The watermark's delay where rows come behind it, in units.
SHORT = 1


def sources(scale, name):
    late = "late_" if name == "late" else ""
    watermark = "" if name == "whole" else f"    watermark {scale(SHORT if late else stream_data.DELAY)}\n"
    tables = {"windows": "s", "late": "sr", "whole": "sr"}.get(name, "sru")
    return "".join(f'source {t} = delta("{late}{t}") {{\n    event_time ts\n{watermark}}}\n' for t in tables)


def text(scale, name, forms):
    return f"## {name}\n\n" + sources(scale, name) + "".join(form.program("out") for form in forms)


def mark(db, scale, tables, epochs, way):
    """Makes the tables s_WAY and r_WAY: with the watermark before the epoch that a row came in, of its own stream and of both. `epochs`: as flowc tells them, which
    is free in how many files it takes; the sinks of one stream and those of both may have epochs of their own."""
    times = {name: [micros(t) if t else None for t in tables[f"late_{name}"]["ts"].to_pylist()] for name in "sr"}

    def marks(sink, names, joint):
        """For each row the watermark before its epoch, by the epochs of a sink."""
        found, ends = {name: [] for name in names}, dict.fromkeys(names)
        for epoch in (e for e in epochs if sink in (s["name"] for s in e["sinks"])):
            rows = {source["name"]: source["rows"] for source in epoch["sources"]}
            least = None if None in ends.values() else min(ends.values())
            before = dict.fromkeys(names, least) if joint else dict(ends)
            for name in names:
                part = times[name][len(found[name]) :][: rows.get(name, 0)]
                found[name] += [None if before[name] is None else before[name] - scale.of(SHORT)] * len(part)
                ends[name] = max((t for t in [ends[name], *part] if t is not None), default=None)
        return found

    own, joint = marks("behind_tumble_out", "s", False), marks("behind_left_join_out", "sr", True)
    for name in "sr":
        table = naive(tables[f"late_{name}"]).append_column("joint", pa.array(joint[name], pa.int64()))
        if name in own:
            table = table.append_column("mark", pa.array(own[name], pa.int64()))
        db.register("arrow_table", table)
        db.execute(f"CREATE TABLE {name}_{way} AS SELECT * FROM arrow_table")


def wanted(db, form, way):
    """Names and rows of the reference; a set is what a list has, once, in the order in which it came."""
    if callable(form.reference):
        names, rows = form.reference(way)
    else:
        names, rows = rows_of(db.execute(form.reference.replace("{s}", f"s_{way}").replace("{r}", f"r_{way}")))
    sets = [i for i, name in enumerate(names) if name.startswith("set_")]
    if sets:
        rows = [tuple(list(dict.fromkeys(v)) if i in sets else v for i, v in enumerate(row)) for row in rows]
    return names, rows


def execute(flowc, work, programs, runs, workers):
    """Appends files to the tables, and runs the programs, again and again; the last run closes everything. Gives the epochs of each program."""
    work.mkdir()
    epochs = {name: [] for name in programs}
    for name, content in programs.items():
        (work / f"{name}.flow").write_text(content)
    last = len(runs["s"]) - 1
    for number in range(last + 1):
        for table, files in runs.items():
            if number == 0:
                write_deltalake(work / table, stream_data.SCHEMA.empty_table())
            for file in files[number]:
                write_deltalake(work / table, file, mode="append")
        for name in programs:
            drain = ["--drain"] if number == last else []
            told = flowc(work, "run", f"{name}.flow", "--workers", workers, "--epoch-files", 1, "--format", "json", *drain)
            epochs[name] += [line for line in map(json.loads, told.splitlines()) if line["type"] == "epoch"]
    return epochs


def seeded(flowc, seed, names):
    """All programs over a seed's streams; how many results were compared, and which differ."""
    begun = time.monotonic()
    scale, tables = stream_data.of(seed)
    db = connect(**{name: naive(table) for name, table in tables.items()})
    first, last = db.execute("SELECT min(epoch_us(ts)), max(epoch_us(ts)) FROM (FROM s UNION ALL FROM late_s)").fetchone()
    forms = {name: list(PROGRAMS[name](db, scale, first, last)) for name in names}
    programs = {name: text(scale, name, of) for name, of in forms.items()}
    rng = random.Random(-seed)
    count = rng.randint(3, 5)
    ways = {
        "at once": ({name: [[table]] for name, table in tables.items()}, 2),
        f"in {count} runs": ({name: stream_data.cut(rng, table, count) for name, table in tables.items()}, 1 + seed % 2),
    }
    compared, rows, failed = 0, 0, []
    with tempfile.TemporaryDirectory() as directory:
        work = pathlib.Path(directory)
        for number, (runs, workers) in enumerate(ways.values()):
            epochs = execute(flowc, work / str(number), programs, runs, workers)
            if "late" in epochs:
                mark(db, scale, tables, epochs["late"], number)
        for form in (form for of in forms.values() for form in of):
            for number, way in enumerate(ways):
                columns, expected = wanted(db, form, number)
                compared, rows = compared + 1, rows + len(expected)
                found = delta(work / str(number) / "out" / form.name)
                if not compare(f"{form.name}, seed {seed}, {way}", found, columns, expected):
                    print(f"  {form.text}")
                    failed.append(form.name)
    print(f"seed {seed}: {compared} results compared, {rows} rows expected, {time.monotonic() - begun:.1f} s, {len(failed)} differ", flush=True)
    return compared, failed


def main():
    words = argparse.ArgumentParser()
    words.add_argument("flowc", type=pathlib.Path)
    words.add_argument("--seeds", type=int, nargs=2, default=(1, 3), metavar=("FIRST", "COUNT"))
    words.add_argument("--programs", nargs="*", default=list(PROGRAMS))
    given = words.parse_args()
    flowc, compared, failed = Flowc(given.flowc.resolve()), 0, []
    seeds = range(given.seeds[0], given.seeds[0] + given.seeds[1])
    for seed in seeds:
        results, differing = seeded(flowc, seed, given.programs)
        compared, failed = compared + results, failed + differing
    print(f"streams: {compared} results beside DuckDB, seeds {seeds[0]} to {seeds[-1]}, {flowc.runs} runs, {len(failed)} differ: {', '.join(sorted(set(failed))) or 'none'}")
    sys.exit(1 if failed else 0)


main()
