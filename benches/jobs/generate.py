#!/usr/bin/env python3
"""Makes the tables that the jobs read, the same ones each time. run.py calls it; it needs numpy, pyarrow and deltalake, as the environment of run.py has them.

    benches/jobs/generate.py DIR [--scale 1]

At scale 1, about 1 GB: sensor_5, sensor_1m and sensor_20m (a day's readings of 10,000 devices: most of few, up to five seconds out of order, 1% null, 0.5% implausible),
device, latest_seed (what W5 merges into) and nexmark/{person,auction,bid} (ten million events). Another scale has so many times the readings and events."""

import argparse
import pathlib
import shutil

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

# 2026-01-01T00:00:00Z in milliseconds, and how many are in a day.
START, DAY = 1_767_225_600_000, 86_400_000
DEVICES, SITES = 10_000, 50
# Nexmark: of fifty events one is a person, three are auctions; so many in a second of event time; ids begin here.
CYCLE, AUCTIONS, RATE, FIRST = 50, 3, 10_000, 1000
LETTERS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz", dtype=np.uint8)


def readings(rng, rows, begin, end):
    """Readings of a part of the day. How many a device has falls with its id, as one over it."""
    weights = np.cumsum(1.0 / np.arange(1, DEVICES + 1))
    bounds = weights / weights[-1]
    ids = (np.searchsorted(bounds, rng.random(rows)) + 1).astype(np.int32)
    times = np.sort(rng.integers(begin, end, rows)) + rng.integers(-5000, 5001, rows)
    values = np.round(rng.normal(20, 30, rows), 2)
    implausible = rng.random(rows) < 0.005
    values[implausible] = np.where(rng.random(implausible.sum()) < 0.5, 999.0, -999.0)
    missing = rng.random(rows) < 0.01
    columns = {"id": pa.array(ids), "timestamp": pa.array(np.clip(times, START, START + DAY - 1)), "value": pa.array(values, mask=missing)}
    return pa.table(columns)


def sensor(path, rows, files, seed):
    rng = np.random.default_rng(seed)
    for n in range(files):
        write_deltalake(path, readings(rng, rows // files, START + DAY * n // files, START + DAY * (n + 1) // files), mode="append")


def five(path):
    """What one looks at first."""
    times = pa.array([START + seconds * 1000 for seconds in (0, 1, 61, 62, 125)], pa.int64())
    write_deltalake(path, pa.table({"id": pa.array([1, 2, 1, 3, 2], pa.int32()), "timestamp": times, "value": pa.array([20.5, 85.0, None, 999.0, 55.25])}))


def devices(path):
    rng = np.random.default_rng(7)
    sites = pa.array([f"site-{site:02}" for site in rng.integers(0, SITES, DEVICES)])
    units = pa.array(np.array(["C", "F", "K"])[rng.integers(0, 3, DEVICES)].tolist())
    most = pa.array(np.round(rng.normal(60, 10, DEVICES), 2))
    write_deltalake(path, pa.table({"id": pa.array(np.arange(1, DEVICES + 1, dtype=np.int32)), "site": sites, "unit": units, "max_value": most}))


def seed(path):
    """Every second device, with a reading from before the day."""
    half = DEVICES // 2
    ids, times = np.arange(1, half + 1, dtype=np.int32), np.full(half, START - 1000)
    write_deltalake(path, pa.table({"id": pa.array(ids), "timestamp": pa.array(times, pa.int64()), "value": pa.array(np.zeros(half))}))


def text(rng, lengths):
    """Letters at random."""
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    letters = LETTERS[rng.integers(0, 26, offsets[-1], dtype=np.uint8)]
    return pa.StringArray.from_buffers(len(lengths), pa.py_buffer(offsets.tobytes()), pa.py_buffer(letters.tobytes()))


class Events:
    """Some of Nexmark's events, by their numbers. Half of the bids are on a hot auction, three in four by a hot bidder; three auctions in four are by a hot seller."""

    def __init__(self, rng, numbers):
        self.rng = rng
        cycle, self.place = numbers // CYCLE, numbers % CYCLE
        self.micros = START * 1000 + numbers * (1_000_000 // RATE)
        # The latest person and auction when each event happens.
        self.person = FIRST + cycle
        self.auction = FIRST + cycle * AUCTIONS + np.clip(self.place, 1, AUCTIONS) - 1

    def times(self, chosen, later=0):
        return pa.array(self.micros[chosen] + later, pa.timestamp("us", tz="UTC"))

    def hot(self, share, latest, offset, others):
        """With this share the hot one of a hundred, otherwise one of the latest."""
        rows = len(latest)
        hot = self.rng.random(rows) < share
        return np.maximum(FIRST, np.where(hot, latest // 100 * 100 + offset, latest - self.rng.integers(0, others, rows)))

    def price(self, rows):
        return (10 ** (self.rng.random(rows) * 6) * 100).astype(np.int64)

    def people(self):
        rng, chosen = self.rng, self.place == 0
        rows = int(chosen.sum())
        firsts = "Peter Paul Luke John Saul Vicky Kate Julie Sarah Deiter Walter".split()
        lasts = "Shultz Abrams Spencer White Bartels Walton Smith Jones Noris".split()
        cities = ["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"]
        states = ["AZ", "CA", "ID", "OR", "WA", "WY"]
        names = [f"{firsts[a]} {lasts[b]}" for a, b in zip(rng.integers(0, len(firsts), rows), rng.integers(0, len(lasts), rows))]
        one_of = lambda words: pa.array(np.array(words)[rng.integers(0, len(words), rows)].tolist())
        return pa.table({"id": self.person[chosen], "name": pa.array(names), "emailAddress": text(rng, rng.integers(8, 24, rows)), "creditCard": text(rng, np.full(rows, 19)),
                         "city": one_of(cities), "state": one_of(states), "dateTime": self.times(chosen), "extra": text(rng, rng.integers(60, 120, rows))})

    def auctions(self):
        rng, chosen = self.rng, (self.place >= 1) & (self.place <= AUCTIONS)
        rows = int(chosen.sum())
        seller, price = self.hot(0.75, self.person[chosen], 0, 1000), self.price(rows)
        return pa.table({"id": self.auction[chosen], "itemName": text(rng, rng.integers(5, 20, rows)), "description": text(rng, rng.integers(20, 100, rows)),
                         "initialBid": price, "reserve": price + 100, "dateTime": self.times(chosen), "expires": self.times(chosen, rng.integers(1_000_000, 20_000_000, rows)),
                         "seller": seller, "category": 10 + rng.integers(0, 5, rows), "extra": text(rng, rng.integers(40, 160, rows))})

    def bids(self):
        rng, chosen = self.rng, self.place > AUCTIONS
        rows = int(chosen.sum())
        auction, bidder = self.hot(0.5, self.auction[chosen], 0, 100), self.hot(0.75, self.person[chosen], 1, 1000)
        names = ["Google", "Facebook", "Baidu", "Apple"] + [f"channel-{n}" for n in range(10_000)]
        channel = np.where(rng.random(rows) < 0.5, rng.integers(0, 4, rows), 4 + rng.integers(0, 10_000, rows)).astype(np.int32)
        paths = zip(rng.integers(0, 99_999, len(names)), rng.integers(0, 99_999, len(names)))
        urls = pa.array([f"https://www.nexmark.com/{a}/{b}/item.htm?query=1&channel_id={n}" for n, (a, b) in enumerate(paths)])
        return pa.table({"auction": auction, "bidder": bidder, "price": self.price(rows), "channel": pa.array(names).take(pa.array(channel)), "url": urls.take(pa.array(channel)),
                         "dateTime": self.times(chosen), "extra": text(rng, rng.integers(40, 90, rows))})


def nexmark(path, events, files=10):
    rng = np.random.default_rng(11)
    for n in range(files):
        part = Events(rng, np.arange(n * (events // files), (n + 1) * (events // files), dtype=np.int64))
        for name, rows in (("person", part.people()), ("auction", part.auctions()), ("bid", part.bids())):
            write_deltalake(path / name, rows, mode="append")


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("directory", type=pathlib.Path)
    words.add_argument("--scale", type=float, default=1.0)
    words = words.parse_args()
    scaled = lambda rows: int(rows * words.scale)
    tables = {
        "sensor_5": five,
        "sensor_1m": lambda path: sensor(path, scaled(1_000_000), 4, 1),
        "sensor_20m": lambda path: sensor(path, scaled(20_000_000), 12, 2),
        "device": devices,
        "latest_seed": seed,
        "nexmark": lambda path: nexmark(path, scaled(10_000_000)),
    }
    words.directory.mkdir(parents=True, exist_ok=True)
    for name, make in tables.items():
        if (words.directory / name).exists():
            print(f"{name} is there")
            continue
        # Under another name until it is whole: a table that is there is not made again.
        draft = words.directory / f".{name}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        make(draft)
        draft.rename(words.directory / name)
        print(name)


if __name__ == "__main__":
    main()
