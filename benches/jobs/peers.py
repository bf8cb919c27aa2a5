"""One job with another engine: from Delta tables to a Delta table, as its own documentation shows it.

Usage: peers.py ENGINE JOB DATA SENSOR OUT. Prints the engine's version and the seconds from its being there (imported, started) to the committed result."""

import glob
import json
import os
import sys
import time

from jobs import JOBS, sql, tables

# DataFusion divides the microseconds of a timestamp, and has the last value by an order.
DATAFUSION = dict(
    seconds="""arrow_cast(arrow_cast("dateTime", 'Timestamp(Microsecond, None)'), 'Int64') / 1000000""",
    latest='last_value(value ORDER BY "timestamp")',
)
DUCKDB = dict(seconds='epoch_us("dateTime") // 1000000', div="//")
SPARK = dict(seconds="unix_micros(`dateTime`) div 1000000", div="div", quote="`", latest="max_by(value, timestamp)")


def merge(path, rows):
    """The merge of W5: an engine without one of its own gives its rows to delta-rs."""
    from deltalake import DeltaTable

    merge = DeltaTable(path).merge(rows, "t.id = s.id", source_alias="s", target_alias="t")
    merge.when_matched_update_all("s.timestamp > t.timestamp").when_not_matched_insert_all().execute()


def duckdb(job, found, out):
    import duckdb
    import duckdb_extension_delta
    from deltalake import write_deltalake

    connection = duckdb.connect()
    begun = time.time()
    # The extension comes as a package, so that nothing is loaded from elsewhere.
    [extension] = glob.glob(os.path.join(os.path.dirname(duckdb_extension_delta.__file__), "extensions", "*", "delta.duckdb_extension"))
    connection.execute(f"LOAD '{extension}'")
    connection.execute("SET preserve_insertion_order = false")
    for name, path in found.items():
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM delta_scan('{path}')")
    result = connection.execute(sql(job, **DUCKDB))
    if JOBS[job].merged:
        merge(out, result.to_arrow_table())
    else:
        write_deltalake(out, result.to_arrow_reader(122_880))
    return begun, duckdb.__version__


def datafusion(job, found, out):
    import datafusion
    import pyarrow
    from deltalake import DeltaTable, write_deltalake

    begun = time.time()
    context = datafusion.SessionContext()
    for name, path in found.items():
        context.register_table(name, DeltaTable(path))
    result = context.sql(sql(job, **DATAFUSION))
    if JOBS[job].merged:
        merge(out, pyarrow.table(result))
    else:
        write_deltalake(out, result)
    return begun, datafusion.__version__


def delta_rs(job, found, out):
    import deltalake

    begun = time.time()
    builder = deltalake.QueryBuilder()
    for name, path in found.items():
        builder.register(name, deltalake.DeltaTable(path))
    result = builder.execute(sql(job, **DATAFUSION))
    if JOBS[job].merged:
        merge(out, result)
    else:
        deltalake.write_deltalake(out, result)
    return begun, deltalake.__version__


def polars(job, found, out):
    import polars

    begun = time.time()
    frame = POLARS[job]({name: polars.scan_delta(path) for name, path in found.items()}, polars)
    if JOBS[job].merged:
        merge(out, frame.collect(engine="streaming").to_arrow())
    else:
        frame.sink_delta(out)
    return begun, polars.__version__


def classify(tables, pl):
    value, at = pl.col("value"), pl.col("timestamp")
    severity = pl.when(value >= 80.0).then(pl.lit("critical")).when(value >= 50.0).then(pl.lit("warning")).otherwise(pl.lit("normal"))
    kept = tables["sensor"].filter(value.is_not_null() & (value >= -200.0) & (value <= 300.0))
    return kept.select("id", "timestamp", "value", (value * 1.8 + 32.0).alias("value_f"), (at - at % 60000).alias("minute"), severity.alias("severity"))


def minute(tables, pl):
    value, at = pl.col("value"), pl.col("timestamp")
    groups = tables["sensor"].filter(value.is_not_null()).group_by("id", (at - at % 60000).alias("window_start"))
    count = value.count().cast(pl.Int64).alias("cnt")
    return groups.agg(count, value.sum().alias("total"), value.min().alias("lo"), value.max().alias("hi"), value.mean().alias("mean"))


def alarms(tables, pl):
    value, at = pl.col("value"), pl.col("timestamp")
    alarms = tables["sensor"].join(tables["device"], on="id").filter(value > pl.col("max_value"))
    groups = alarms.group_by("site", (at - at % 300000).alias("window_start"))
    return groups.agg(pl.len().cast(pl.Int64).alias("cnt"), value.mean().alias("mean"), value.max().alias("hi"))


def latest(tables, pl):
    value, at = pl.col("value"), pl.col("timestamp")
    return tables["sensor"].filter(value.is_not_null()).group_by("id").agg(at.max().alias("timestamp"), value.max_by(at).alias("value"))


def windows(pl, seconds):
    """The start of the window of so many seconds, in seconds."""
    return (pl.col("dateTime").dt.epoch("us") // (seconds * 1_000_000) * seconds).alias("window_start")


def euros(tables, pl):
    return tables["bid"].select("auction", "bidder", (0.908 * pl.col("price")).alias("price"), "dateTime", "extra")


def hot(tables, pl):
    start, number = pl.col("window_start"), pl.col("num")
    panes = tables["bid"].group_by("auction", windows(pl, 2)).agg(pl.len().alias("num"))
    hops = pl.concat([panes.with_columns(start - 2 * k) for k in range(5)]).group_by("auction", "window_start").agg(number.sum().cast(pl.Int64))
    most = hops.group_by("window_start").agg(number.max())
    return hops.join(most, on=["window_start", "num"]).select("window_start", "auction", "num")


def highest(tables, pl):
    bids = tables["bid"].select("auction", "price", "bidder", "dateTime", "extra", windows(pl, 10))
    most = bids.group_by("window_start").agg(pl.col("price").max())
    return bids.join(most, on=["window_start", "price"]).select("auction", "price", "bidder", "dateTime", "extra")


def newcomers(tables, pl):
    people = tables["person"].select("id", "name", windows(pl, 10)).unique()
    sellers = tables["auction"].select("seller", windows(pl, 10)).unique()
    return people.join(sellers, left_on=["id", "window_start"], right_on=["seller", "window_start"]).select("id", "name", "window_start")


POLARS = {"start": classify, "W1": classify, "W2": minute, "W3": alarms, "W5": latest, "q1": euros, "q5": hot, "q7": highest, "q8": newcomers}


def sail(job, found, out):
    import pysail
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession

    server = SparkConnectServer(ip="127.0.0.1", port=0)
    server.start(background=True)
    session = SparkSession.builder.remote(f"sc://127.0.0.1:{server.listening_address[1]}").getOrCreate()
    return spark_sql(session, job, found, out), getattr(pysail, "__version__", "")


def spark(job, found, out):
    """Needs Java, and the Delta Lake package of this Spark: PYSPARK_SUBMIT_ARGS names it where it is not installed as delta-spark."""
    import delta
    import pyspark
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[*]").config("spark.driver.memory", "8g").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.shuffle.partitions", str(os.cpu_count()))
    builder = builder.config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
    builder = builder.config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
    return spark_sql(delta.configure_spark_with_delta_pip(builder).getOrCreate(), job, found, out), pyspark.__version__


def spark_sql(session, job, found, out):
    session.conf.set("spark.sql.session.timeZone", "UTC")
    begun = time.time()
    for name, path in found.items():
        session.read.format("delta").load(path).createOrReplaceTempView(name)
    result = session.sql(sql(job, **SPARK))
    if JOBS[job].merged:
        result.createOrReplaceTempView("s")
        session.sql(f"CREATE TABLE t USING delta LOCATION '{out}'")
        action = "WHEN MATCHED AND s.timestamp > t.timestamp THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
        session.sql(f"MERGE INTO t USING s ON t.id = s.id {action}").collect()
    else:
        result.write.format("delta").save(out)
    return begun


ENGINES = {"polars": polars, "datafusion": datafusion, "delta-rs": delta_rs, "duckdb": duckdb, "sail": sail, "spark": spark}

if __name__ == "__main__":
    engine, job, data, sensor, out = sys.argv[1:]
    begun, version = ENGINES[engine](job, tables(job, data, sensor), out)
    print(json.dumps({"seconds": time.time() - begun, "version": version}), flush=True)
    if engine == "sail":
        # Its server has threads that do not end.
        os._exit(0)
