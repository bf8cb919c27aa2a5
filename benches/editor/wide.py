#!/usr/bin/env python3
"""Makes a program of 1,777 lines over a table of 200 columns, for type.py: what a keystroke costs where rows are wide.

usage: benches/editor/wide.py FLOWC DIRECTORY [COLUMNS]     for example: benches/editor/wide.py target/release/flowc /tmp/wide

The table DIRECTORY/wide is made by flowc itself, the program is DIRECTORY/wide.flow: 222 flows that filter, compute and drop, and 111 sinks."""
import pathlib
import subprocess
import sys

FLOWS = 222


def seed(table, columns):
    """A program that makes the table: numbers and texts that may be null."""
    text = lambda n: f'if id > 0 then "a{n}" else null'
    number = lambda n: f"if id > 0 then {n}.5 else null"
    made = ", ".join(f"c{n} = {number(n) if n % 3 else text(n)}" for n in range(columns))
    return f"""source numbers = generate(rows: 2)

flow wide = numbers
    |> select id, {made}

sink out = wide -> delta("{table}")
"""


def program(work):
    parts = [f'source wide = delta("{work}/wide")\n']
    for n in range(1, FLOWS + 1):
        parts.append(f"""
## What comes of reading {n}.
flow clean_{n} = wide
    |> where c1 between -{n} and {n + 100} and id != {n}
    |> extend celsius = (c2 - 32) * 5 / 9, level = if c4 > {n} then "hot" else "cold"
    |> drop c7, c8
""")
        if n % 2 == 0:
            parts.append(f"""
sink out_{n} = clean_{n} -> delta("{work}/out_{n}") {{
    mode append
}}
""")
    return "".join(parts)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    binary, work = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    columns = int(sys.argv[3]) if len(sys.argv) > 3 else 200
    work.mkdir(parents=True, exist_ok=True)
    first = work / "seed.flow"
    first.write_text(seed(work / "wide", columns - 1))
    done = subprocess.run([binary, "run", str(first), "--state", str(work / "seed")], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{done.stdout}{done.stderr}")
    (work / "wide.flow").write_text(program(work))
    print(work / "wide.flow")


main()
