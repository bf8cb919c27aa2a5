#!/usr/bin/env python3
"""Measures whole jobs, flowc's and those of other engines, in turns, and prints the medians as Markdown.

    benches/jobs/run.py --data DIR [--flowc target/release/flowc] [--jobs W1,W2,…] [--engines flowc,polars,…] [--rounds 3]

DIR holds the tables that generate.py makes, or will: those that are missing are made. Every result is compared with DuckDB's own answer; one that differs ends the run. The engines are Python packages,
installed at the versions of requirements.txt into an environment of their own (--venv) where they are missing. Linux only: it reads /proc."""

import argparse
import ctypes
import datetime
import json
import math
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from jobs import JOBS, tables

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DEFAULT = ["flowc", "polars", "datafusion", "delta-rs", "duckdb"]
# Not installed here: they bring a server, or need Java.
OPTIONAL = ["sail", "spark"]
PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 1 << 20
# Children that outlive their parent become ours, so that they are measured too.
PR_SET_CHILD_SUBREAPER = 36


def environment(path):
    """The Python of an environment that has the packages, made where it is missing."""
    python = path / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", path], check=True)
    wanted = dict(line.split("==") for line in (HERE / "requirements.txt").read_text().split())
    probe = "import importlib.metadata as m, json; print(json.dumps({d.metadata['Name'].replace('_', '-'): d.version for d in m.distributions()}))"
    found = json.loads(subprocess.run([python, "-c", probe], check=True, stdout=subprocess.PIPE).stdout)
    if any(found.get(name) != version for name, version in wanted.items()):
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt"], check=True)
    return str(python)


def tree(process):
    """A process and all below it."""
    found = [process]
    for pid in found:
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                found += map(int, pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split())
        except OSError:
            # It has ended meanwhile.
            pass
    return found


def resident(process):
    total = 0
    for pid in tree(process):
        try:
            total += int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
        except (OSError, IndexError):
            pass
    return total


class Watch(threading.Thread):
    """The most memory that a process and all below it have at once, as far as looks at them tell."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.peak, self.over = process, 0, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.02):
            self.peak = max(self.peak, resident(self.process))

    def end(self):
        self.over.set()
        self.join()
        return self.peak


def reap(pid):
    """Takes an ended child away: its status, what it used, and the bytes that it and the children it waited for read and wrote. These stay until it is taken away."""
    lines = pathlib.Path(f"/proc/{pid}/io").read_text().splitlines()
    bytes_of = {name: int(count) for name, count in (line.split(": ") for line in lines)}
    _, status, used = os.wait4(pid, 0)
    return status, used, bytes_of


def measured(command, **more):
    """Runs a command: what it took, and what it said."""
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complained:
        begun = time.monotonic()
        process = subprocess.Popen([str(word) for word in command], stdout=said, stderr=complained, start_new_session=True, **more)
        watch = Watch(process.pid)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        wall = time.monotonic() - begun
        peak = watch.end()
        status, used, moved = reap(process.pid)
        process.returncode = os.waitstatus_to_exitcode(status)
        parts = [(used, moved)] + [(used, moved) for _, used, moved in orphans()]
        said.seek(0)
        complained.seek(0)
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{complained.read()[-3000:]}")
        documents = [json.loads(line) for line in said if line.startswith("{")]
    return {
        "wall": wall,
        "cpu": sum(used.ru_utime + used.ru_stime for used, _ in parts),
        "peak": max([peak] + [used.ru_maxrss * 1024 for used, _ in parts]) / MIB,
        "read": sum(moved["rchar"] for _, moved in parts) / MIB,
        "written": sum(moved["wchar"] for _, moved in parts) / MIB,
    }, documents


def orphans():
    """Children that their parents left to us, as they end."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            return
        yield reap(ended.si_pid)


class Bench:
    def __init__(self, words):
        self.words, self.data, self.flowc = words, words.data.resolve(), words.flowc.resolve()
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="flowc-bench-", dir=words.work))
        self.python = environment(words.venv.expanduser().absolute())
        self.versions = {}
        needed = [self.data / "latest_seed"] + [pathlib.Path(path) for job in words.jobs for path in tables(job, self.data, words.sensor).values()]
        if not all(path.is_dir() for path in needed):
            subprocess.run([self.python, HERE / "generate.py", self.data, "--scale", str(words.scale)], check=True, stdout=sys.stderr)
        # Copied, because a program's lock and state lie beside it.
        for program in HERE.glob("*.flow"):
            shutil.copy(program, self.work)

    def verified(self, job, *out):
        """What a result comes to; DuckDB's own without `out`."""
        command = [self.python, HERE / "verify.py", job, self.data, self.words.sensor, *out]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)

    def run(self, engine, job):
        """Runs a job once, from a clean target: what it took, and where the result is."""
        out, state = self.work / "out", self.work / "state"
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(state, ignore_errors=True)
        if JOBS[job].merged:
            shutil.copytree(self.data / "latest_seed", out)
        if engine == "flowc":
            sensor = JOBS[job].tables.get("sensor", "").format(sensor=self.words.sensor)
            command = [self.flowc, "run", self.work / JOBS[job].program, "--param", f"warehouse={self.data}", "--param", f"out={out}", "--state", state, "--drain", "--format", "json"]
            taken, documents = measured(command + (["--param", f"sensor={sensor}"] if sensor else []))
            # Microseconds.
            taken["job"] = sum(line["duration"] for line in documents if line["type"] == "epoch") / 1e6
        else:
            taken, [line] = measured([self.python, HERE / "peers.py", engine, job, self.data, self.words.sensor, out])
            taken["job"], self.versions[engine] = line["seconds"], line["version"]
        taken["table"] = sum(file.stat().st_size for file in out.rglob("*.parquet")) / MIB
        return taken, out

    def measure(self, job):
        """Medians of a job, by engine. The engines take turns, each round in another order, so that what disturbs one disturbs the others. The first round is not counted."""
        wanted, engines = self.verified(job), self.words.engines
        runs = {engine: [] for engine in engines}
        for turn in range(self.words.rounds + 1):
            for engine in engines[turn % len(engines):] + engines[: turn % len(engines)]:
                taken, out = self.run(engine, job)
                found = self.verified(job, out)
                if not same(found, wanted):
                    raise SystemExit(f"{job}: the result of {engine} is {found}, DuckDB's own answer {wanted}")
                print(f"{job} {engine} {'warm-up' if turn == 0 else turn}: {taken['wall']:.2f} s", file=sys.stderr, flush=True)
                if turn > 0:
                    runs[engine].append(taken)
        return {engine: {name: statistics.median(run[name] for run in of) for name in of[0]} for engine, of in runs.items()}


def same(found, wanted):
    """Numbers are sums of doubles in whatever order."""
    equal = lambda a, b: math.isclose(a, b, rel_tol=1e-9) if isinstance(a, float) and isinstance(b, float) else a == b
    return len(found) == len(wanted) and all(map(equal, found, wanted))


def machine():
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    memory = int(next(line.split()[1] for line in open("/proc/meminfo") if line.startswith("MemTotal"))) / MIB
    return f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}"


def table(heads, rows):
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def summary(results, engines, figure):
    """A figure of each engine, and how many times that of the first one it is."""
    rows = []
    for job, of in results.items():
        first = of[engines[0]][figure]
        cells = [f"{of[e][figure]:.2f}" + ("" if e == engines[0] else f" ({of[e][figure] / first:.2f}×)") for e in engines]
        rows.append([job, *cells])
    return table(["job", *engines], rows)


def details(results, engines):
    heads = ["job", "engine", "wall s", "job s", "CPU s", "peak MiB", "read MiB", "written MiB", "table MiB"]
    rows = []
    for job, of in results.items():
        for engine in engines:
            taken = of[engine]
            figures = [f"{taken[name]:.2f}" for name in ("wall", "job", "cpu")] + [f"{taken[name]:.0f}" for name in ("peak", "read", "written")]
            rows.append([job, engine, *figures, f"{taken['table']:.1f}"])
    return table(heads, rows)


def known(all_of):
    def names(text):
        found = text.split(",")
        wrong = [name for name in found if name not in all_of]
        if wrong:
            raise argparse.ArgumentTypeError(f"{', '.join(wrong)}: it is one of {', '.join(all_of)}")
        return found

    return names


def arguments():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--data", type=pathlib.Path, required=True, help="where the tables are")
    words.add_argument("--scale", type=float, default=1.0, help="how large the tables are made that are missing (1: about a gigabyte)")
    words.add_argument("--sensor", default="sensor_20m", help="the table of readings (sensor_20m)")
    words.add_argument("--flowc", type=pathlib.Path, default=ROOT / "target/release/flowc", help="the binary (target/release/flowc)")
    words.add_argument("--jobs", type=known(list(JOBS)), default=list(JOBS), help=", ".join(JOBS))
    words.add_argument("--engines", type=known(DEFAULT + OPTIONAL), default=DEFAULT, help=f"{', '.join(DEFAULT)}; where their packages are installed, {', '.join(OPTIONAL)}")
    words.add_argument("--rounds", type=int, default=3, help="how often each runs, after once that does not count (3)")
    words.add_argument("--venv", type=pathlib.Path, default=pathlib.Path("~/.cache/flowc-bench"), help="the Python environment of the engines (~/.cache/flowc-bench)")
    words.add_argument("--work", type=pathlib.Path, help="where results are written, a gigabyte at most (the directory for temporary files)")
    words.add_argument("--json", type=pathlib.Path, help="a file for the medians as JSON")
    return words.parse_args()


def main():
    words = arguments()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    bench = Bench(words)
    try:
        results = {job: bench.measure(job) for job in words.jobs}
    finally:
        shutil.rmtree(bench.work)
    if "flowc" in words.engines:
        bench.versions["flowc"] = subprocess.run([bench.flowc, "--version"], stdout=subprocess.PIPE, text=True).stdout.split()[-1]
    versions = ", ".join(f"{engine} {bench.versions[engine]}".strip() for engine in words.engines)
    if words.json:
        words.json.write_text(json.dumps(results, indent=1))
    print(f"{datetime.date.today()}, {machine()}; {versions}; medians of {words.rounds}.\n")
    print(f"Seconds of the whole process, and how many times those of {words.engines[0]}:\n")
    print(summary(results, words.engines, "wall"))
    print("\nThe same for seconds of CPU:\n")
    print(summary(results, words.engines, "cpu"))
    print("\nAll figures:\n")
    print(details(results, words.engines))


if __name__ == "__main__":
    main()
