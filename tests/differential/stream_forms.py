"""What is asked of the streams: for each form a flow in the language, and the rows that it must give, by SQL or (where SQL has no word for it) by a few lines of Python."""

import pyarrow as pa
from stream_windows import AGGREGATES, forms, in_windows

# Columns of a stream but its number and time.
VALUES = "k, g, n, v, w, d, b"
KEYS = {"none": [], "k": ["k"], "kg": ["k", "g"]}


class Form:
    """`text`: the flow's input and steps; `before`: other flows that it reads; `flow`: a flow of another form to take instead. `reference`: SQL, or a function that
    gives names and rows, of the number of the way in which the tables grew."""

    def __init__(self, name, text, reference, before="", mode="", flow=None):
        self.name, self.text, self.reference, self.before, self.mode = name, text, reference, before, mode
        self.flow = flow or name

    def program(self, out):
        flow = f"flow {self.name} = {self.text}\n" if self.text else ""
        mode = f" {{ mode {self.mode} }}" if self.mode else ""
        return f'{self.before}{flow}sink {self.name}_out = {self.flow} -> delta("{out}/{self.name}"){mode}\n'


def store(db, name, wins):
    """Makes the table wins_NAME."""
    begins, ends = zip(*wins)
    db.register("arrow_table", pa.table({"begins": begins, "ends": ends}))
    db.execute(f"CREATE OR REPLACE TABLE wins_{name} AS SELECT * FROM arrow_table")


def windows(db, scale, first, last):
    """Every window with every aggregate, by no key, by one, by two."""
    aggregates = ",\n    ".join(f"{name} = {ours}" for name, ours, _ in AGGREGATES)
    computed = ", ".join(f"{theirs} AS {name}" for name, _, theirs in AGGREGATES)
    for number, (name, text, wins) in enumerate(forms(scale, first, last)):
        if not isinstance(wins, int):
            store(db, name, wins)
        label, keys = list(KEYS.items())[number % len(KEYS)] if number else ("k", ["k"])
        by = f" by {', '.join(keys)}," if keys else ""
        listed = ", ".join([*keys, "window_start", "window_end"])
        sql = f"{in_windows(wins, 's', keys, f'wins_{name}')} SELECT {listed}, {computed} FROM windowed GROUP BY {listed}"
        yield Form(f"{name}_{label}", f"s\n|> aggregate {aggregates}{by} window {text}", sql)
    yield Form("tumble_late", "", "SELECT * FROM s WHERE ts IS NULL", flow="tumble_k.late")


def further(db, scale, first, last):
    """What is behind a window: another one, the first rows; several sources in one; what comes once."""
    u = scale
    count = lambda table, size, key="k", extra="": (
        f"SELECT {key}, time_bucket(to_microseconds({u.of(size)}), ts, TIMESTAMP '1970-01-01') AS window_start, count(*) AS c, sum(n) AS total{extra} FROM {table} "
        f"WHERE ts IS NOT NULL GROUP BY ALL"
    )
    bucket = lambda size, at: f"time_bucket(to_microseconds({u.of(size)}), {at}, TIMESTAMP '1970-01-01')"
    inner = f"(SELECT k, window_start, window_start + to_microseconds({u.of(3)}) AS window_end, c, total FROM ({count('s', 3)}))"
    counted = f"aggregate c = count(), total = sum(n) by k, window tumble({u(3)})"
    yield Form(
        "chain",
        f"s |> {counted} |> aggregate parts = count(), c = sum(c), total = sum(total) by k, window tumble({u(12)})",
        f"SELECT k, s AS window_start, s + to_microseconds({u.of(12)}) AS window_end, count(*) AS parts, sum(c) AS c, sum(total) AS total "
        f"FROM (SELECT *, {bucket(12, 'window_start')} AS s FROM {inner}) GROUP BY ALL",
    )
    yield Form(
        "chain_session",
        f"s |> {counted} |> aggregate parts = count(), c = sum(c) by k, window session({u(3)})",
        f"""WITH marked AS (SELECT *, coalesce(window_end - lag(window_end) OVER p > to_microseconds({u.of(3)}), true)::INTEGER AS begins
            FROM {inner} WINDOW p AS (PARTITION BY k ORDER BY window_end)),
            numbered AS (SELECT *, sum(begins) OVER (PARTITION BY k ORDER BY window_end) AS session FROM marked)
            SELECT k, min(window_end) - to_microseconds(1) AS window_start, max(window_end) + to_microseconds({u.of(3)} - 1) AS window_end,
            count(*) AS parts, sum(c) AS c FROM numbered GROUP BY k, session""",
    )
    grouped = f"(SELECT k, g, window_start, c, total FROM ({count('s', 10, 'k, g')}))"
    top = f"s |> aggregate c = count(), total = sum(n) by k, g, window tumble({u(10)})"
    yield Form(
        "top_per",
        f"{top} |> top 2 by c desc, k desc nulls last per g |> select window_start, g, k, c",
        f"SELECT window_start, g, k, c FROM {grouped} QUALIFY row_number() OVER (PARTITION BY window_start, g ORDER BY c DESC, k DESC NULLS LAST) <= 2",
    )
    yield Form(
        "top_window",
        f"{top} |> where total is not null |> top 3 by total, k nulls first, g desc nulls first |> select window_start, k, g, total",
        f"SELECT window_start, k, g, total FROM {grouped} WHERE total IS NOT NULL "
        "QUALIFY row_number() OVER (PARTITION BY window_start ORDER BY total, k NULLS FIRST, g DESC NULLS FIRST) <= 3",
    )
    yield from dedups(db, u)
    yield from unions(db, u, count)


def deduped(rows, key, within):
    """The rows that are kept, in their order: those with no kept row of their key at most so long before them."""
    kept = {}
    for row in rows:
        times = kept.setdefault(key(row), [])
        if within is None and not times or within is not None and not any(0 <= row["t"] - t <= within for t in times):
            times.append(row["t"])
            yield row


def records(db, sql):
    relation = db.execute(sql)
    names = [d[0] for d in relation.description]
    return [dict(zip(names, row)) for row in relation.fetchall()]


def dedups(db, u):
    timed = "SELECT *, epoch_us(ts) AS t FROM s WHERE ts IS NOT NULL ORDER BY seq"

    def once(keys, within, columns=("seq",), sql=timed):
        key = lambda row: tuple(row[k] for k in keys)
        return lambda way: (list(columns), [tuple(row[c] for c in columns) for row in deduped(records(db, sql), key, within)])

    yield Form("dedup", f"s |> dedup by k within {u(4)} |> select seq", once(["k"], u.of(4)))
    yield Form("dedup_two", f"s |> dedup by g, k within {u(30)} |> select seq", once(["g", "k"], u.of(30)))
    yield Form("dedup_exact", f"s |> dedup by k within 0s |> select seq", once(["k"], 0))
    columns = ["ts", "k", "g", "n"]
    yield Form("dedup_all", f"s |> select {', '.join(columns)} |> dedup within {u(4)}", once(columns, u.of(4), columns))

    def behind(way):
        rows = deduped(records(db, timed), lambda row: row["k"], u.of(4))
        counts = {}
        for row in rows:
            start = row["t"] // u.of(9) * u.of(9)
            counts[start] = counts.get(start, 0) + 1
        return ["start", "c"], list(counts.items())

    yield Form(
        "dedup_window",
        f"s |> dedup by k within {u(4)} |> aggregate c = count() window tumble({u(9)}) |> select start = unix_micros(window_start), c",
        behind,
    )
    both = "SELECT *, epoch_us(ts) AS t FROM (SELECT ts, k FROM s UNION ALL SELECT ts, k FROM r) WHERE ts IS NOT NULL ORDER BY ts"
    union = "s |> select ts, k |> union {name}_other |> dedup by k within "
    before = "flow {name}_other = r |> select ts, k\n"
    name = "dedup_union"
    yield Form(name, union.format(name=name) + u(2), once(["k"], u.of(2), ("ts", "k"), both), before=before.format(name=name))


def unions(db, u, count):
    both = "(SELECT ts, k, n FROM s UNION ALL SELECT ts, k, n FROM u)"
    yield Form(
        "union_window",
        f"s |> union u |> aggregate c = count(), total = sum(n) by k, window tumble({u(5)}) |> select k, window_start, c, total",
        count(both, 5),
    )


def joins(db, scale, first, last):
    """Every kind of join by several conditions, and joins of windows."""
    u = scale
    conditions = {
        "key": ("r.k == k", "r.k = l.k", 2),
        "keys": ("r.k == k and r.g == g", "r.k = l.k AND r.g = l.g", 20),
        "more": ("r.k == k and r.n < n", "r.k = l.k AND r.n < l.n", 4),
        "computed": ("r.n == n + 1 and r.b", "r.n = l.n + 1 AND r.b", 10),
        "unequal": ("r.w < w - 60", "r.w < l.w - 60", 1),
        "at_once": ("r.k == k", "r.k = l.k", 0),
    }
    for label, (ours, theirs, within) in conditions.items():
        for kind in ("inner", "left", "right", "full", "semi", "anti"):
            yield join(kind, label, ours, f"{theirs} AND abs(epoch_us(l.ts) - epoch_us(r.ts)) <= {u.of(within)}", f" within {u(within)}")
    yield Form("join_late", "", "SELECT * FROM s WHERE ts IS NULL", flow="left_key.late")
    near = lambda a, b, units: f"abs(epoch_us({a}.ts) - epoch_us({b}.ts)) <= {u.of(units)}"
    yield Form(
        "self_join",
        f"s |> join s as o on o.k == k and o.seq < seq within {u(1)} |> select seq, earlier = o.seq",
        f"SELECT l.seq, o.seq AS earlier FROM s l JOIN s o ON o.k = l.k AND o.seq < l.seq AND {near('l', 'o', 1)}",
    )
    yield Form(
        "three",
        f"s |> join r on r.k == k within {u(1)} |> select seq, ts, g, k, other = r.seq |> left join u as x on x.k == k and x.g == g within {u(2)} "
        "|> select seq, other, third = x.seq",
        f"SELECT l.seq, r.seq AS other, x.seq AS third FROM s l JOIN r ON r.k = l.k AND {near('l', 'r', 1)} "
        f"LEFT JOIN u x ON x.k = l.k AND x.g = l.g AND {near('l', 'x', 2)}",
    )
    # Short windows behind a long bound: none may close before the last of its matches is there.
    bucket = f"time_bucket(to_microseconds({u.of(3)}), l.ts, TIMESTAMP '1970-01-01')"
    for kind in ("inner", "left"):
        yield Form(
            f"{kind}_window",
            f"s |> {kind_word(kind)}join r on r.k == k within {u(6)} |> select ts, k, n, other = r.n "
            f"|> aggregate c = count(), total = sum(n), other = sum(other) by k, window tumble({u(3)}) |> select k, window_start, c, total, other",
            f"SELECT l.k, {bucket} AS window_start, count(*) AS c, sum(l.n) AS total, sum(r.n) AS other FROM s l {kind} JOIN r "
            f"ON r.k = l.k AND {near('l', 'r', 6)} WHERE l.ts IS NOT NULL GROUP BY ALL",
        )
    yield from joined_windows(u)


def kind_word(kind):
    return "" if kind == "inner" else f"{kind} "


def join(kind, label, ours, condition, within, prefix="", mode="", sides=None):
    """A join of s with r, or what `sides` says. Rows without an event time are late: they match nothing, and come out nowhere."""
    sides = sides or [f"(SELECT * FROM {t}{' WHERE ts IS NOT NULL' if within else ''})" for t in "sr"]
    l, r = (f"{side} {name}" for side, name in zip(sides, "lr"))
    outer = {"inner": "JOIN", "left": "LEFT JOIN", "right": "RIGHT JOIN", "full": "LEFT JOIN"}
    if kind in outer:
        columns = "seq, k, other = r.seq, other_k = r.k"
        sql = f"SELECT l.seq, l.k, r.seq AS other, r.k AS other_k FROM {l} {outer[kind]} {r} ON {condition}"
        if kind == "full":
            sql += f" UNION ALL SELECT NULL, NULL, r.seq, r.k FROM {r} WHERE NOT EXISTS (SELECT 1 FROM {l} WHERE {condition})"
    else:
        columns = "seq, k"
        sql = f"SELECT l.seq, l.k FROM {l} WHERE {'NOT ' if kind == 'anti' else ''}EXISTS (SELECT 1 FROM {r} WHERE {condition})"
    return Form(f"{prefix}{kind}_{label}", f"s |> {kind_word(kind)}join r on {ours}{within} |> select {columns}", sql, mode=mode)


def joined_windows(u):
    windows = f"window tumble({u(5)})"
    counts = {
        t: f"(SELECT k, time_bucket(to_microseconds({u.of(5)}), ts, TIMESTAMP '1970-01-01') AS s, count(*) AS c FROM {t} WHERE ts IS NOT NULL GROUP BY ALL)"
        for t in "sr"
    }
    condition = "l.k = r.k AND l.s = r.s"
    for kind in ("inner", "left", "right", "full", "semi", "anti"):
        name = f"windows_{kind}"
        before = f"flow {name}_other = r |> aggregate c = count() by k, {windows}\n"
        text = f"s |> aggregate c = count() by k, {windows} |> {kind_word(kind)}join {name}_other as o on o.k == k"
        if kind in ("semi", "anti"):
            word = "NOT EXISTS" if kind == "anti" else "EXISTS"
            sql = f"SELECT l.k, l.c FROM {counts['s']} l WHERE {word} (SELECT 1 FROM {counts['r']} r WHERE {condition})"
            yield Form(name, f"{text} |> select k, c", sql, before=before)
        else:
            sql = f"SELECT l.k, l.c, r.k AS other_k, r.c AS other FROM {counts['s']} l {kind} JOIN {counts['r']} r ON {condition}"
            yield Form(name, f"{text} |> select k, c, other_k = o.k, other = o.c", sql, before=before)


def whole(db, scale, first, last):
    """Steps without a bound in time, over everything at once."""
    u, mode = scale, "overwrite"
    for kind in ("inner", "left", "right", "full", "semi", "anti"):
        yield join(kind, "key", "r.k == k and r.n == n", "r.k = l.k AND r.n = l.n", "", prefix="whole_", mode=mode)
    everything = "SELECT *, seq AS t FROM s ORDER BY seq"

    def once(way):
        return ["seq"], [(row["seq"],) for row in deduped(records(db, everything), lambda row: (row["k"], row["g"]), None)]

    yield Form("whole_dedup", "s |> dedup by k, g |> select seq", once, mode=mode)
    yield Form(
        "whole_top",
        "s |> top 3 by n desc, seq per k |> select k, n, seq",
        "SELECT k, n, seq FROM s QUALIFY row_number() OVER (PARTITION BY k ORDER BY n DESC NULLS LAST, seq) <= 3",
        mode=mode,
    )
    yield Form(
        "whole_window",
        f"s |> aggregate c = count(), total = sum(n) by k, window tumble({u(7)}) |> select k, window_start, c, total",
        f"SELECT k, time_bucket(to_microseconds({u.of(7)}), ts, TIMESTAMP '1970-01-01') AS window_start, count(*) AS c, sum(n) AS total FROM s "
        "WHERE ts IS NOT NULL GROUP BY ALL",
        mode=mode,
    )


def late(db, scale, first, last):
    """With a watermark that rows come behind. `{s}` and `{r}` are the streams with a column more, `mark`: the watermark before the epoch in which a row came
    (null: none yet); `joint` is the least of the marks of s and r at that time."""
    u = scale
    wins = {name: (text, windows) for name, text, windows in forms(scale, first, last) if name in ("tumble", "hop", "hop_uneven", "cumulate")}
    for name, (text, listed) in wins.items():
        store(db, name, listed)
        # A row counts in those of its windows that are still open, and is late where none is.
        open_windows = f"wins_{name} ON epoch_us(ts) >= begins AND epoch_us(ts) < ends AND (mark IS NULL OR ends > mark)"
        sql = f"SELECT make_timestamp(begins) AS window_start, make_timestamp(ends) AS window_end, count(*) AS c, sum(n) AS total FROM {{s}} JOIN {open_windows} GROUP BY ALL"
        yield Form(f"behind_{name}", f"s |> aggregate c = count(), total = sum(n) window {text}", sql)
        sql = f"SELECT seq FROM {{s}} WHERE NOT EXISTS (SELECT 1 FROM {open_windows.replace(' ON ', ' WHERE ', 1)})"
        yield Form(f"late_{name}", f"behind_{name}.late |> select seq", sql)
    too_late = lambda mark, within: f"ts IS NULL OR coalesce(epoch_us(ts) + {u.of(within)} < {mark}, false)"

    def once(way):
        rows = records(db, f"SELECT *, epoch_us(ts) AS t FROM s_{way} WHERE NOT ({too_late('mark', 2)}) ORDER BY seq")
        return ["seq"], [(row["seq"],) for row in deduped(rows, lambda row: row["k"], u.of(2))]

    yield Form("behind_dedup", f"s |> dedup by k within {u(2)} |> select seq", once)
    yield Form("late_dedup", "behind_dedup.late |> select seq", f"SELECT seq FROM {{s}} WHERE {too_late('mark', 2)}")
    sides = [f"(SELECT * FROM {{{t}}} WHERE NOT ({too_late('joint', 1)}))" for t in "sr"]
    for kind in ("inner", "left", "right", "full", "semi", "anti"):
        condition = f"r.k = l.k AND abs(epoch_us(l.ts) - epoch_us(r.ts)) <= {u.of(1)}"
        # Where rows without a match come out, the earlier row of a match must not have gone before the later one came.
        if kind not in ("inner", "semi"):
            condition += f" AND epoch_us(least(l.ts, r.ts)) + {u.of(1)} >= coalesce(greatest(l.joint, r.joint), {-(2**62)})"
        yield join(kind, "join", "r.k == k", condition, f" within {u(1)}", prefix="behind_", sides=sides)
    yield Form("late_join", "behind_left_join.late |> select seq", f"SELECT seq FROM {{s}} WHERE {too_late('joint', 1)}")


PROGRAMS = {"windows": windows, "further": further, "joins": joins, "whole": whole, "late": late}
