#!/usr/bin/env python3
"""How time and memory grow with rows and workers: the same job over ever more rows, and with one worker and two.

    benches/jobs/scale.py FLOWC DIRECTORY [rows=1000000,10000000,100000000,200000000] [workers=1,2] [rounds=3]

FLOWC is a release build, DIRECTORY a place for what comes out, which is removed again. Rows are generated, filtered, computed on and written to a Delta table (`pass`), or counted and summed by
a thousand keys (`group`). Needs nothing but Python. Prints a Markdown table: the least seconds of the rounds, nanoseconds a row, CPU seconds, and the most memory.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

PASS = """source numbers = generate(rows: {rows})
flow passed = numbers
    |> where id % 10 < 7
    |> select id, half = id / 2, slot = id - id % 1000, level = if id % 3 == 0 then "high" else "low"
sink out = passed -> delta("{out}")
"""

GROUP = """source numbers = generate(rows: {rows})
flow groups = numbers |> aggregate rows = count(), total = sum(id / 2) by key = id % 1000
sink out = groups -> delta("{out}") {{ mode overwrite }}
"""


def run(flowc, text, rows, workers, directory):
    work = pathlib.Path(tempfile.mkdtemp(dir=directory))
    try:
        program = work / "job.flow"
        program.write_text(text.format(rows=rows, out=work / "out"))
        command = [flowc, "run", str(program), "--workers", str(workers), "--state", str(work / "state")]
        begun = time.monotonic()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        told = child.stderr.read().decode()
        _, status, usage = os.wait4(child.pid, 0)
        if status != 0:
            sys.exit(told)
        return time.monotonic() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    finally:
        shutil.rmtree(work)


def numbers(words, name, otherwise):
    given = [word.partition("=")[2] for word in words if word.startswith(f"{name}=")]
    return [int(number) for number in (given[0] if given else otherwise).split(",")]


def main(flowc, directory, *words):
    os.makedirs(directory, exist_ok=True)
    sizes = numbers(words, "rows", "1000000,10000000,100000000,200000000")
    rounds = numbers(words, "rounds", "3")[0]
    print("| job | rows | workers | seconds | ns a row | CPU s | peak MB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, text in [("pass", PASS), ("group", GROUP)]:
        for rows in sizes:
            for workers in numbers(words, "workers", "1,2"):
                seconds, cpu, peak = min(run(flowc, text, rows, workers, directory) for _ in range(rounds))
                each = seconds * 1e9 / rows
                print(f"| {name} | {rows:,} | {workers} | {seconds:.2f} | {each:.1f} | {cpu:.2f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
