"""Steps over streams beside DuckDB: every window with every aggregate, every kind of join, dedup, top, and what can stand behind what, over made-up streams.
Each program runs over all rows at once, and cut into several runs while the tables grow, with one worker and with two.
Usage: streams.py PATH_OF_FLOWC [--seeds FIRST COUNT] [--programs NAME…]"""

import argparse
import pathlib
import random
import sys
import tempfile
import time

import stream_data
from deltalake import write_deltalake
from harness import Flowc, compare, connect, delta, naive, rows_of
from stream_forms import PROGRAMS
from stream_windows import micros

TABLES = ("s", "r", "u")


def sources(scale, timed):
    clauses = f" {{\n    event_time ts\n    watermark {scale(stream_data.DELAY)}\n}}" if timed else ""
    return "".join(f'source {name} = delta("{name}"){clauses}\n' for name in TABLES)


def text(scale, name, forms):
    return f"## {name}\n\n" + sources(scale, name != "whole") + "".join(form.program("out") for form in forms)


def wanted(db, form):
    """Names and rows of the reference; a set is what a list has, once, in the order in which it came."""
    names, rows = form.reference() if callable(form.reference) else rows_of(db.execute(form.reference))
    sets = [i for i, name in enumerate(names) if name.startswith("set_")]
    if sets:
        rows = [tuple(list(dict.fromkeys(v)) if i in sets else v for i, v in enumerate(row)) for row in rows]
    return names, rows


def execute(flowc, work, programs, parts, workers):
    """Appends part after part to the tables, and runs the programs after each; the last run closes everything."""
    work.mkdir()
    for name, content in programs.items():
        (work / f"{name}.flow").write_text(content)
    for number in range(len(parts["s"])):
        for table in TABLES:
            if parts[table][number].num_rows or number == 0:
                write_deltalake(work / table, parts[table][number], mode="append")
        for name in programs:
            portions = ["--epoch-rows", 100] if flowc.epoch_rows and len(parts["s"]) > 1 else []
            drain = ["--drain"] if number == len(parts["s"]) - 1 else []
            flowc(work, "run", f"{name}.flow", "--workers", workers, *portions, *drain)


def seeded(flowc, seed, names):
    """All programs over a seed's streams; how many results were compared, and which differ."""
    begun = time.monotonic()
    scale, tables = stream_data.of(seed)
    db = connect(**{name: naive(table) for name, table in tables.items()})
    first, last = db.execute("SELECT min(epoch_us(ts)), max(epoch_us(ts)) FROM s").fetchone()
    forms = {name: list(PROGRAMS[name](db, scale, first, last)) for name in names}
    programs = {name: text(scale, name, of) for name, of in forms.items()}
    rng = random.Random(-seed)
    count = rng.randint(3, 5)
    ways = {
        "at once": ({name: [table] for name, table in tables.items()}, 2),
        f"in {count} runs": ({name: stream_data.cut(rng, table, count) for name, table in tables.items()}, 1 + seed % 2),
    }
    compared, rows, failed = 0, 0, []
    with tempfile.TemporaryDirectory() as directory:
        work = pathlib.Path(directory)
        for number, (way, (parts, workers)) in enumerate(ways.items()):
            execute(flowc, work / str(number), programs, parts, workers)
        for form in (form for of in forms.values() for form in of):
            columns, expected = wanted(db, form)
            rows += len(expected)
            for number, way in enumerate(ways):
                compared += 1
                found = delta(work / str(number) / "out" / form.name)
                if not compare(f"{form.name}, seed {seed}, {way}", found, columns, expected):
                    print(f"  {form.text}")
                    failed.append(form.name)
    print(f"seed {seed}: {compared} results compared, {rows} rows expected, {time.monotonic() - begun:.1f} s, {len(failed)} differ", flush=True)
    return compared, failed


def main():
    words = argparse.ArgumentParser()
    words.add_argument("flowc", type=pathlib.Path)
    words.add_argument("--seeds", type=int, nargs=2, default=(1, 4), metavar=("FIRST", "COUNT"))
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
