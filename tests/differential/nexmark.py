"""The Nexmark programs of examples/nexmark beside DuckDB: each with all events at once, and cut into several runs while the tables grow.
Usage: nexmark.py PATH_OF_FLOWC PATH_OF_GENERATOR [QUERY…]"""

import pathlib
import re
import subprocess
import sys
import tempfile
import time

from harness import Flowc, compare, connect, delta, rows_of

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
EXAMPLES = ROOT / "examples" / "nexmark"
TABLES = ("person", "auction", "bid")
# A hundred events in a second, over midnight, up to three seconds late: the watermark is four behind. (seed, events in each cut)
CASES = [(1, [20_000]), (2, [3_000, 50, 7_000, 1, 4_949])]


def generate(generator, directory, seed, first, events):
    options = {"--events": events, "--from": first, "--seed": seed, "--commits": min(2, events), "--rate": 100, "--disorder": 3000}
    words = [str(w) for option in {**options, "--start": "2026-01-01T23:58:20Z"}.items() for w in option]
    subprocess.run([generator, directory, *words], check=True, stdout=subprocess.DEVNULL)


def queries(only):
    number = lambda name: (int(re.search(r"\d+", name)[0]), name)
    return [q for q in sorted((f.stem for f in EXAMPLES.glob("q*.flow")), key=number) if not only or q in only]


def case(flowc, generator, work, names, seed, cuts):
    """Runs every query after each cut, and compares what it has written in the end."""
    done, spent = 0, dict.fromkeys(names, 0.0)
    for number, events in enumerate(cuts):
        generate(generator, work, seed, done, events)
        done += events
        drain = ["--drain"] if number == len(cuts) - 1 else []
        portions = ["--epoch-rows", 1000] if len(cuts) > 1 else []
        for name in names:
            begun = time.monotonic()
            flowc(work, "run", EXAMPLES / f"{name}.flow", "--param", f"warehouse={work}", "--state", work / f"state/{name}", *portions, *drain)
            spent[name] += time.monotonic() - begun
    db = connect(**{name: delta(work / name) for name in TABLES})
    failed = []
    for name in names:
        columns, wanted = rows_of(db.execute((EXAMPLES / "duckdb" / f"{name}.sql").read_text()))
        fine = compare(f"{name}, seed {seed}", delta(work / name), columns, wanted)
        failed += [] if fine else [name]
        runs = "one run" if len(cuts) == 1 else f"{len(cuts)} runs"
        print(f"{name:8} seed {seed}: {len(wanted):6} rows, {runs}, {spent[name]:.1f} s: {'equal' if fine else 'DIFFERENT'}", flush=True)
    return failed


def main():
    flowc, generator = Flowc(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2]).resolve()
    names, failed = queries(sys.argv[3:]), []
    for seed, cuts in CASES:
        with tempfile.TemporaryDirectory() as directory:
            failed += case(flowc, generator, pathlib.Path(directory), names, seed, cuts)
    print(f"Nexmark: {len(names)} queries, {len(CASES)} seeds, {flowc.runs} runs beside DuckDB, {len(failed)} results differ")
    sys.exit(1 if failed else 0)


main()
