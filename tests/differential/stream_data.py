"""Made-up streams: rows with event times that are out of order by no more than the watermark's delay, ties, gaps, duplicates, and nulls everywhere."""

import datetime
import decimal
import random

import pyarrow as pa

UTC = datetime.timezone.utc
SCHEMA = pa.schema(
    [
        pa.field("seq", pa.int64(), False),
        pa.field("ts", pa.timestamp("us", tz="UTC")),
        pa.field("k", pa.int32()),
        pa.field("g", pa.string()),
        pa.field("n", pa.int64()),
        pa.field("v", pa.float64()),
        pa.field("w", pa.float64(), False),
        pa.field("d", pa.decimal128(10, 2)),
        pa.field("b", pa.bool_()),
    ]
)


class Scale:
    """What a unit of time is. Streams of seconds go over 1970, those of ten minutes over the nights when Berlin's clocks change."""

    def __init__(self, micros, start):
        self.micros, self.start = micros, start

    def __call__(self, units):
        """So many units as a duration of the language."""
        return f"{round(self.of(units) / 1000)}ms"

    def of(self, units):
        """The same in microseconds."""
        return round(units * self.micros)


SCALES = [
    Scale(600_000_000, datetime.datetime(2026, 3, 27, 7, tzinfo=UTC)),
    Scale(1_000_000, datetime.datetime(1969, 12, 31, 23, 56, tzinfo=UTC)),
    Scale(600_000_000, datetime.datetime(2026, 10, 23, 7, tzinfo=UTC)),
]
# The watermark's delay, in units.
DELAY = 10


def stream(rng, scale, rows, late=0.0):
    """A table of so many rows; `seq` counts them in their order. A share of them is much later than the rest."""
    made, now, epoch = [], scale.start, datetime.timedelta(0)
    for seq in range(rows):
        step = rng.choice([0, 0, 0.1, 0.3, 1, 1]) if rng.random() > 0.02 else rng.uniform(5, 40)
        now += datetime.timedelta(microseconds=scale.of(step * rng.choice([1, rng.random()])))
        behind = rng.choice([rng.uniform(0, DELAY), DELAY, 1]) if rng.random() < 0.3 else 0
        at = now - datetime.timedelta(microseconds=scale.of(behind))
        if rng.random() < late:
            behind += rng.uniform(0, 60)
            at = now - datetime.timedelta(microseconds=scale.of(behind))
        # Many at whole units, where windows begin and end.
        elif rng.random() < 0.3:
            at = max(at - (at - scale.start) % datetime.timedelta(microseconds=scale.micros), now - datetime.timedelta(microseconds=scale.of(DELAY)))
        if made and rng.random() < 0.05:
            made.append({**made[-1], "seq": seq})
            continue
        made.append({"seq": seq, "ts": maybe(rng, at, 0.02), **values(rng)})
    return pa.Table.from_pylist(made, SCHEMA)


def maybe(rng, value, share=0.1):
    return None if rng.random() < share else value


def values(rng):
    number = rng.choice([float("nan"), -0.0, 0.0]) if rng.random() < 0.03 else round(rng.gauss(0, 50), 2)
    return {
        "k": maybe(rng, rng.choice([0, 0, 1, 2, 3, 4, 5])),
        "g": maybe(rng, rng.choice(["", "a", "b", "Ä", "aa"])),
        "n": maybe(rng, rng.randint(-20, 20)),
        "v": maybe(rng, number),
        "w": round(rng.gauss(0, 50), 2),
        "d": maybe(rng, decimal.Decimal(rng.randint(-100_000, 100_000)) / 100),
        "b": maybe(rng, rng.random() < 0.5),
    }


def cut(rng, table, runs):
    """The table as it grows before each run: lists of files, some of them empty or tiny."""
    at = sorted(rng.choice([rng.randint(0, table.num_rows), rng.randint(0, 3)]) for _ in range(runs - 1))
    return [files(rng, table.slice(a, b - a)) for a, b in zip([0, *at], [*at, table.num_rows])]


def files(rng, table):
    ends = list(range(0, table.num_rows, rng.choice([60, 120, 300]))) + [table.num_rows]
    return [table.slice(a, b - a) for a, b in zip(ends, ends[1:])]


def of(seed, rows=900):
    """A seed's scale, and its streams s, r and u; of two others much is late."""
    rng = random.Random(seed)
    scale = SCALES[seed % len(SCALES)]
    lengths = {"s": (rows, 0), "r": (rows * 2 // 3, 0), "u": (rows // 2, 0), "late_s": (rows, 0.2), "late_r": (rows, 0.2)}
    return scale, {name: stream(rng, scale, *of) for name, of in lengths.items()}
