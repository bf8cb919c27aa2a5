"""Windows of every form: the program's text, and the windows themselves, for DuckDB to join rows with."""

import datetime
import zoneinfo

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
DAY = datetime.timedelta(days=1)
HOUR = 3_600_000_000


def micros(moment):
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (moment - epoch) // datetime.timedelta(microseconds=1)


def aligned(first, last, size, slide, offset=0):
    """Windows of a length, one at each slide, that hold something from `first` to `last`."""
    start = (first - size - offset) // slide * slide + offset
    return [(s, s + size) for s in range(start, last + slide, slide)]


def cumulated(first, last, size, step, offset=0):
    return [(s, e) for s, end in aligned(first, last, size, size, offset) for e in range(s + step, end + 1, step)]


def midnights(first, last):
    """The instants when days begin in Berlin, as microseconds."""
    day = datetime.datetime.fromtimestamp(first / 1e6, BERLIN).date() - 3 * DAY
    found = []
    while not found or found[-1] <= last + 3 * 24 * HOUR:
        found.append(micros(datetime.datetime.combine(day, datetime.time(), BERLIN)))
        day += DAY
    return found


def days(first, last, count, slide):
    """Windows of so many calendar days; one begins on 1970-01-01, then every `slide` days."""
    all_days = midnights(first, last)
    number = lambda m: (datetime.datetime.fromtimestamp(m / 1e6, BERLIN).date() - datetime.date(1970, 1, 1)).days
    return [(m, all_days[i + count]) for i, m in enumerate(all_days[:-count]) if number(m) % slide == 0]


def parts_of_days(first, last, size):
    """Windows that begin at midnight and every `size` from there; the last one of a day ends when the day does."""
    found = []
    all_days = midnights(first, last)
    for begin, end in zip(all_days, all_days[1:]):
        found += [(s, min(s + size, end)) for s in range(begin, end, size)]
    return found


def cumulated_days(first, last, step):
    all_days = midnights(first, last)
    return [(b, min(e, end)) for b, end in zip(all_days, all_days[1:]) for e in range(b + step, end + step, step)]


def forms(scale, first, last):
    """Name, text, and the windows (microseconds; none: sessions, whose gap is given instead)."""
    u = scale.of
    even = {
        "tumble": ((7,), aligned(first, last, u(7), u(7))),
        "tumble_offset": ((20, 13), aligned(first, last, u(20), u(20), u(13))),
        "hop": ((10, 2), aligned(first, last, u(10), u(2))),
        "hop_uneven": ((9, 4), aligned(first, last, u(9), u(4))),
        "hop_as_tumble": ((5, 5), aligned(first, last, u(5), u(5))),
        "hop_offset": ((12, 3, 2), aligned(first, last, u(12), u(3), u(2))),
        "cumulate": ((20, 5), cumulated(first, last, u(20), u(5))),
        "cumulate_offset": ((30, 10, 7), cumulated(first, last, u(30), u(10), u(7))),
    }
    for name, (numbers, windows) in even.items():
        kind = name.split("_")[0]
        words = [scale(n) for n in numbers]
        if name.endswith("_offset"):
            words[-1] = f"offset: {words[-1]}"
        yield name, f"{kind}({', '.join(words)})", windows
    yield "session", f"session({scale(2)})", u(2)
    yield "session_short", f"session({scale(0.1)})", u(0.1)
    if scale.micros >= 600_000_000:
        zone = 'zone: "Europe/Berlin"'
        yield "zone_day", f"tumble(1d, {zone})", days(first, last, 1, 1)
        yield "zone_two_days", f"tumble(2d, {zone})", days(first, last, 2, 2)
        yield "zone_hop_days", f"hop(2d, 1d, {zone})", days(first, last, 2, 1)
        yield "zone_hours", f"tumble(6h, {zone})", parts_of_days(first, last, 6 * HOUR)
        yield "zone_hour", f"tumble(1h, {zone})", parts_of_days(first, last, HOUR)
        yield "zone_cumulate", f"cumulate(1d, 6h, {zone})", cumulated_days(first, last, 6 * HOUR)


# Name, in the language, in SQL. Lists come in the order of the input; `set_` ones are made of them by the reader.
AGGREGATES = [
    ("rows", "count()", "count(*)"),
    ("n_count", "count(n)", "count(n)"),
    ("b_rows", "count() where b", "count(*) FILTER (WHERE b)"),
    ("g_kinds", "count_distinct(g)", "count(DISTINCT g)"),
    ("g_about", "approx_count_distinct(g)", "count(DISTINCT g)"),
    ("n_sum", "sum(n)", "sum(n)"),
    ("n_sum_some", "sum(n) where v > 0", "sum(n) FILTER (WHERE v > 0)"),
    ("v_sum", "sum(v)", "sum(v)"),
    ("d_sum", "sum(d)", "sum(d)"),
    ("n_avg", "avg(n)", "avg(n)"),
    ("w_avg", "avg(w) where b", "avg(w) FILTER (WHERE b)"),
    ("v_min", "min(v)", "min(v)"),
    ("v_max", "max(v)", "max(v)"),
    ("g_min", "min(g)", "min(g)"),
    ("g_max", "max(g) where n > 0", "max(g) FILTER (WHERE n > 0)"),
    ("ts_max", "max(ts)", "max(ts)"),
    ("d_max", "max(d)", "max(d)"),
    ("n_first", "first(n)", "first(n ORDER BY seq)"),
    ("g_last", "last(g)", "last(g ORDER BY seq)"),
    ("n_last_some", "last(n) where b", "last(n ORDER BY seq) FILTER (WHERE b)"),
    ("seq_min_by", "min_by(seq, n)", "first(seq ORDER BY n, seq) FILTER (WHERE n IS NOT NULL)"),
    ("g_max_by", "max_by(g, w)", "first(g ORDER BY w DESC, seq)"),
    ("w_stddev", "stddev(w)", "stddev_samp(w)"),
    ("n_variance", "variance(n)", "var_samp(n)"),
    ("n_list", "collect_list(n)", "coalesce(list(n ORDER BY seq) FILTER (WHERE n IS NOT NULL), [])"),
    ("g_list", "collect_list(g) where b", "coalesce(list(g ORDER BY seq) FILTER (WHERE g IS NOT NULL AND b), [])"),
    ("set_g", "collect_set(g)", "coalesce(list(g ORDER BY seq) FILTER (WHERE g IS NOT NULL), [])"),
    ("w_median", "percentile(w, 0.5)", "quantile_cont(w, 0.5)"),
    ("n_high", "percentile(n, 0.9)", "quantile_cont(n, 0.9)"),
]


def in_windows(windows, table, keys, windows_table):
    """SQL for the rows of a table with the windows that each belongs to, as `windowed`; rows without an event time belong to none. `windows` as in `forms`; those
    that are listed are in `windows_table`."""
    if not isinstance(windows, int):
        return f"""WITH windowed AS (
            SELECT t.*, make_timestamp(begins) AS window_start, make_timestamp(ends) AS window_end
            FROM {table} t JOIN {windows_table} ON epoch_us(ts) >= begins AND epoch_us(ts) < ends
        )"""
    key = f"PARTITION BY {', '.join(keys)}" if keys else ""
    return f"""WITH marked AS (
        SELECT *, coalesce(epoch_us(ts) - lag(epoch_us(ts)) OVER ({key} ORDER BY ts, seq) > {windows}, true)::INTEGER AS begins
        FROM {table} WHERE ts IS NOT NULL
    ), numbered AS (
        SELECT *, sum(begins) OVER ({key} ORDER BY ts, seq) AS session FROM marked
    ), windowed AS (
        SELECT *, min(ts) OVER part AS window_start, max(ts) OVER part + to_microseconds({windows}) AS window_end
        FROM numbered WINDOW part AS (PARTITION BY {', '.join([*keys, 'session'])})
    )"""
