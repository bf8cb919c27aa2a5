"""Steps over streams beside DuckDB: every window with every aggregate, every kind of join, dedup, top, and what can stand behind what, over made-up streams.
Rows behind the watermark, too. Each program runs over all rows at once, and cut into several runs while the tables grow, with one worker and with two.
Usage: streams.py PATH_OF_FLOWC [--seeds FIRST COUNT] [--programs NAME…]"""

import argparse
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


def mark(db, scale, parts, way):
    """Makes the tables s_WAY and r_WAY: with the watermark before the part that a row came in, of its own stream and of both."""
    ends = {name: [] for name in "sr"}
    for name in "sr":
        times = []
        for part in parts[f"late_{name}"]:
            ends[name].append(max(times, default=None))
            times += [micros(t) for t in part["ts"].to_pylist() if t is not None]
    delayed = lambda end: None if end is None else end - scale.of(SHORT)
    for name in "sr":
        marked = []
        for part, s, r in zip(parts[f"late_{name}"], ends["s"], ends["r"]):
            own, both = delayed(s if name == "s" else r), None if s is None or r is None else delayed(min(s, r))
            column = lambda value: pa.array([value] * part.num_rows, pa.int64())
            marked.append(naive(part).append_column("mark", column(own)).append_column("joint", column(both)))
        db.register("arrow_table", pa.concat_tables(marked))
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


def execute(flowc, work, programs, parts, workers):
    """Appends part after part to the tables, and runs the programs after each; the last run closes everything."""
    work.mkdir()
    for name, content in programs.items():
        (work / f"{name}.flow").write_text(content)
    for number in range(len(parts["s"])):
        for table in parts:
            if parts[table][number].num_rows or number == 0:
                write_deltalake(work / table, parts[table][number], mode="append")
        for name in programs:
            # What is late depends on the epochs: there each run is one.
            portions = ["--epoch-rows", 100] if flowc.epoch_rows and len(parts["s"]) > 1 and name != "late" else []
            drain = ["--drain"] if number == len(parts["s"]) - 1 else []
            flowc(work, "run", f"{name}.flow", "--workers", workers, *portions, *drain)


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
        "at once": ({name: [table] for name, table in tables.items()}, 2),
        f"in {count} runs": ({name: stream_data.cut(rng, table, count) for name, table in tables.items()}, 1 + seed % 2),
    }
    compared, rows, failed = 0, 0, []
    with tempfile.TemporaryDirectory() as directory:
        work = pathlib.Path(directory)
        for number, (parts, workers) in enumerate(ways.values()):
            mark(db, scale, parts, number)
            execute(flowc, work / str(number), programs, parts, workers)
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
