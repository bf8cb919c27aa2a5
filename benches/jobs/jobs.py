"""What is measured: each job's rows, its program for flowc, the same as SQL for the others, and what of a result must be equal.

Knows neither the engines nor how they are measured. Needs nothing but Python."""

from dataclasses import dataclass

# The tables of each job, by the names that its SQL has for them; `sensor` is the table that --sensor names.
SENSOR = {"sensor": "{sensor}"}
BID, AUCTION, PERSON = {"bid": "nexmark/bid"}, {"auction": "nexmark/auction"}, {"person": "nexmark/person"}


@dataclass(frozen=True)
class Job:
    """`keys` are compared exactly, `numbers` up to the order in which doubles were added. A timestamp counts in `unit` microseconds, as the SQL has it."""

    what: str
    program: str
    tables: dict
    query: str
    keys: str
    numbers: str = ""
    unit: int = 1
    merged: bool = False


CLASSIFY = """
SELECT id, {q}timestamp{q}, value, value * 1.8e0 + 32.0e0 AS value_f, {q}timestamp{q} - {q}timestamp{q} % 60000 AS minute,
       CASE WHEN value >= 80.0 THEN 'critical' WHEN value >= 50.0 THEN 'warning' ELSE 'normal' END AS severity
FROM sensor WHERE value IS NOT NULL AND value >= -200.0 AND value <= 300.0"""

MINUTE = """
SELECT id, {q}timestamp{q} - {q}timestamp{q} % 60000 AS window_start,
       count(value) AS cnt, sum(value) AS total, min(value) AS lo, max(value) AS hi, avg(value) AS mean
FROM sensor WHERE value IS NOT NULL GROUP BY id, {q}timestamp{q} - {q}timestamp{q} % 60000"""

ALARMS = """
SELECT d.site AS site, s.{q}timestamp{q} - s.{q}timestamp{q} % 300000 AS window_start,
       count(*) AS cnt, avg(s.value) AS mean, max(s.value) AS hi
FROM sensor s JOIN device d ON s.id = d.id WHERE s.value > d.max_value
GROUP BY d.site, s.{q}timestamp{q} - s.{q}timestamp{q} % 300000"""

LATEST = """
SELECT id, max({q}timestamp{q}) AS {q}timestamp{q}, {latest} AS value
FROM sensor WHERE value IS NOT NULL GROUP BY id"""

EUROS = """
SELECT auction, bidder, 0.908e0 * price AS price, {q}dateTime{q}, extra FROM bid"""

# Counts of two seconds, added up to windows of ten: what a user who knows SQL writes, since none of the engines has hopping windows.
HOT = """
WITH pane AS (SELECT auction, {seconds} {div} 2 * 2 AS p, count(*) AS c FROM bid GROUP BY auction, {seconds} {div} 2 * 2),
     hop AS (SELECT auction, p - k.k * 2 AS w, sum(c) AS num
             FROM pane CROSS JOIN (VALUES (0), (1), (2), (3), (4)) AS k(k) GROUP BY auction, p - k.k * 2),
     most AS (SELECT w, max(num) AS m FROM hop GROUP BY w)
SELECT hop.w AS window_start, hop.auction AS auction, CAST(hop.num AS BIGINT) AS num
FROM hop JOIN most ON hop.w = most.w AND hop.num = most.m"""

HIGHEST = """
SELECT b.auction AS auction, b.price AS price, b.bidder AS bidder, b.{q}dateTime{q} AS {q}dateTime{q}, b.extra AS extra
FROM (SELECT auction, price, bidder, {q}dateTime{q}, extra, {seconds} {div} 10 AS w FROM bid) b
JOIN (SELECT max(price) AS most, {seconds} {div} 10 AS w FROM bid GROUP BY {seconds} {div} 10) m
  ON b.price = m.most AND b.w = m.w"""

NEWCOMERS = """
SELECT p.id AS id, p.name AS name, p.w * 10 AS window_start
FROM (SELECT id, name, {seconds} {div} 10 AS w FROM person GROUP BY id, name, {seconds} {div} 10) p
JOIN (SELECT seller, {seconds} {div} 10 AS w FROM auction GROUP BY seller, {seconds} {div} 10) a
  ON p.id = a.seller AND p.w = a.w"""

CLASSIFIED = dict(keys="id timestamp minute severity", numbers="value value_f")
JOBS = {
    "start": Job("W1 over five rows: what beginning and ending cost", "classify.flow", {"sensor": "sensor_5"}, CLASSIFY, **CLASSIFIED),
    "W1": Job("filter, convert, classify", "classify.flow", SENSOR, CLASSIFY, **CLASSIFIED),
    "W2": Job("count, sum, min, max and mean per device and minute", "minute.flow", SENSOR, MINUTE, "id window_start cnt", "total lo hi mean", unit=1000),
    "W3": Job("join with 10,000 devices, filter, five minutes per site", "alarms.flow", SENSOR | {"device": "device"}, ALARMS, "site window_start cnt", "mean hi", unit=1000),
    "W5": Job("the latest reading per device, merged into a table", "latest.flow", SENSOR, LATEST, "id timestamp", merged=True),
    "q1": Job("Nexmark 1: prices in euros", "q1.flow", BID, EUROS, "auction bidder dateTime extra", "price"),
    "q5": Job("Nexmark 5: hot items", "q5.flow", BID, HOT, "window_start auction num", unit=1_000_000),
    "q7": Job("Nexmark 7: highest bids", "q7.flow", BID, HIGHEST, "auction price bidder dateTime extra"),
    "q8": Job("Nexmark 8: new users", "q8.flow", PERSON | AUCTION, NEWCOMERS, "id name window_start", unit=1_000_000),
}


def tables(job, data, sensor):
    """Name and directory of each table that a job reads."""
    return {name: f"{data}/{path.format(sensor=sensor)}" for name, path in JOBS[job].tables.items()}


def sql(job, seconds, div="/", quote='"', latest='arg_max(value, "timestamp")'):
    """A job's query in an engine's dialect: the seconds of `dateTime` as an integer, division of integers, quoted names, the value of the latest row."""
    return JOBS[job].query.format(q=quote, seconds=seconds, div=div, latest=latest)
