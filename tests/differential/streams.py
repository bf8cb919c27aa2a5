"""Steps over streams beside DuckDB: every window with every aggregate, every kind of join, dedup, top, and what can stand behind what, over made-up streams.
Rows behind the watermark, too. Each program runs over all rows at once, and cut into several runs while the tables grow, with one worker and with two.
Usage: streams.py PATH_OF_FLOWC [--seeds FIRST COUNT] [--programs NAME…]"""

import argparse
import itertools
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


def epochs(runs, names):
    """For each epoch the rows of each of these tables. A run takes a file of each in an epoch, as long as there are some."""
    for files in zip(*(runs[name] for name in names)):
        for row in itertools.zip_longest(*files):
            yield [stream_data.SCHEMA.empty_table() if part is None else part for part in row]


def mark(db, scale, runs, way):
    """Makes the tables s_WAY and r_WAY: with the watermark before the epoch that a row came in, of its own stream and of both."""
    ends, marked = {"s": None, "r": None}, {"s": [], "r": []}
    delayed = lambda end: None if end is None else end - scale.of(SHORT)
    for parts in epochs(runs, ("late_s", "late_r")):
        joint = None if None in ends.values() else delayed(min(ends.values()))
        for name, part in zip(ends, parts):
            column = lambda value: pa.array([value] * part.num_rows, pa.int64())
            marked[name].append(naive(part).append_column("mark", column(delayed(ends[name]))).append_column("joint", column(joint)))
        for name, part in zip(ends, parts):
            times = [micros(t) for t in part["ts"].to_pylist() if t is not None]
            ends[name] = max([*times, *([] if ends[name] is None else [ends[name]])], default=None)
    for name, tables in marked.items():
        db.register("arrow_table", pa.concat_tables(tables))
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
    """Appends files to the tables, and runs the programs, again and again; the last run closes everything."""
    work.mkdir()
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
            flowc(work, "run", f"{name}.flow", "--workers", workers, "--epoch-files", 1, *(["--drain"] if number == last else []))


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
            mark(db, scale, runs, number)
            execute(flowc, work / str(number), programs, runs, workers)
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
