#!/usr/bin/env python3
"""What a table costs by the number of its files: looking at it, checking a program that reads it, reading one partition, reading all, and an epoch over a change that brings no rows.

    benches/jobs/files.py FLOWC DIRECTORY [files=1000,10000,100000] [rounds=3]

FLOWC is a release build; the tables are made in DIRECTORY and are removed again. A table is one small Parquet file under as many names as asked for, each a partition of its own, added by commits of 1,000
files, without a checkpoint and with one. Needs nothing but Python; the checkpoint is left out where the package deltalake is missing. Prints a Markdown table: the least milliseconds of the rounds, of whole processes."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

SEED = """source numbers = generate(rows: 100)
flow few = numbers |> select id, part = 0, half = id / 2
sink out = few -> delta("{table}") {{ partition by part }}
"""

ONE = """source many = delta("{table}")
flow chosen = many |> where part == 7 |> select id, half
sink out = chosen -> delta("{out}")
"""

ALL = """source many = delta("{table}")
flow total = many |> aggregate rows = count(), half = sum(half)
sink out = total -> delta("{out}") {{ mode overwrite }}
"""

COMMIT = 1000
# File systems bound how many names a file may have.
LINKS = 10_000


def flowc(*words):
    """Seconds of a whole process, and what it printed."""
    begun = time.monotonic()
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seconds = time.monotonic() - begun
    if done.returncode != 0:
        sys.exit(f"{words}\n{done.stdout}{done.stderr}")
    return seconds, done.stdout


def log(table, version):
    return table / "_delta_log" / f"{version:020}.json"


def make(binary, work, files):
    """A table of as many files: the names of one, in as many partitions."""
    table = work / "many"
    program = work / "seed.flow"
    program.write_text(SEED.format(table=table))
    flowc(binary, "run", str(program), "--state", str(work / "seed"))
    # The first version has the schema, the first version with a file has the file.
    last = sum(1 for _ in table.glob("_delta_log/*.json"))
    actions = [json.loads(line) for version in range(last) for line in log(table, version).read_text().splitlines()]
    add = next(action["add"] for action in actions if "add" in action)
    seed, name = table / add["path"], pathlib.Path(add["path"]).name
    for begin in range(1, files, COMMIT):
        lines = [json.dumps({"commitInfo": {"timestamp": 0, "operation": "WRITE"}})]
        for part in range(begin, min(begin + COMMIT, files)):
            path = f"part={part}/{name}"
            (table / f"part={part}").mkdir()
            if part % LINKS == 0:
                seed = shutil.copy(seed, table / path)
            else:
                os.link(seed, table / path)
            lines.append(json.dumps({"add": {**add, "path": path, "partitionValues": {"part": str(part)}}}))
        log(table, last).write_text("\n".join(lines) + "\n")
        last += 1
    return table, last


def empty_change(table, version):
    """A commit that says something, and changes no row."""
    log(table, version).write_text(json.dumps({"commitInfo": {"timestamp": 0, "operation": "WRITE"}}) + "\n")


def fresh(work):
    for name in ["out", "state"]:
        shutil.rmtree(work / name, ignore_errors=True)


def measure(binary, work, table, next_version, rounds):
    """The least seconds of each job."""
    one, everything = work / "one.flow", work / "all.flow"
    one.write_text(ONE.format(table=table, out=work / "out"))
    everything.write_text(ALL.format(table=table, out=work / "out"))
    state = ["--state", str(work / "state")]
    found = {"show": [], "check": [], "one": [], "all": [], "again": [], "empty": []}
    for _ in range(rounds):
        fresh(work)
        found["show"].append(flowc(binary, "show", str(table))[0])
        found["check"].append(flowc(binary, "check", str(one))[0])
        found["all"].append(flowc(binary, "run", str(everything), *state)[0])
        fresh(work)
        found["one"].append(flowc(binary, "run", str(one), *state)[0])
        found["again"].append(flowc(binary, "run", str(one), *state)[0])
        empty_change(table, next_version)
        next_version += 1
        found["empty"].append(flowc(binary, "run", str(one), *state)[0])
    return {name: min(seconds) * 1000 for name, seconds in found.items()}


def checkpoint(table):
    """Whether a checkpoint could be written."""
    try:
        from deltalake import DeltaTable
    except ImportError:
        return False
    DeltaTable(str(table)).create_checkpoint()
    return True


def words_of(words, name, otherwise):
    given = [word.partition("=")[2] for word in words if word.startswith(f"{name}=")]
    return [int(number) for number in (given[0] if given else otherwise).split(",")]


def main(binary, directory, *words):
    os.makedirs(directory, exist_ok=True)
    rounds = words_of(words, "rounds", "3")[0]
    print("| files | checkpoint | `show` | `check` | run, one partition | run, all | run, nothing new | run, an empty change |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for files in words_of(words, "files", "1000,10000,100000"):
        work = pathlib.Path(tempfile.mkdtemp(dir=directory))
        try:
            table, version = make(binary, work, files)
            for with_checkpoint in [False, True]:
                if with_checkpoint and not checkpoint(table):
                    continue
                measured = measure(binary, work, table, version, rounds)
                version += rounds
                columns = ["show", "check", "one", "all", "again", "empty"]
                shown = " | ".join(f"{measured[name]:.0f}" for name in columns)
                print(f"| {files:,} | {'yes' if with_checkpoint else 'no'} | {shown} |", flush=True)
        finally:
            shutil.rmtree(work)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
