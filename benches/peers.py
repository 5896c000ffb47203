"""The same work done with polars, pyarrow, duckdb and pandas, each the fastest way we found for it."""

import sqlite3
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

MEASURES = [
    "Global_active_power", "Global_reactive_power", "Voltage", "Global_intensity",
    "Sub_metering_1", "Sub_metering_2", "Sub_metering_3",
]  # fmt: skip
GRAINS = {"15min": "15m", "1h": "1h", "1d": "1d", "1w": "1w", "1mo": "1mo", "1q": "1q", "1y": "1y"}
AGGREGATES = ["mean", "min", "max", "sum", "count"]
TEXT = {"Date": pl.String, "Time": pl.String} | {m: pl.Float64 for m in MEASURES}


def polars_stamp() -> pl.Expr:
    """The stamp from Date and Time: faster as one strptime than as a date and a time added."""
    return (pl.col("Date") + " " + pl.col("Time")).str.to_datetime("%d/%m/%Y %H:%M:%S", time_unit="us").alias("time")


def polars_lazy(path: Path) -> pl.LazyFrame:
    return pl.scan_csv(path, separator=";", null_values=["?"], schema_overrides=TEXT)


def polars_read(path: Path) -> Any:
    return polars_lazy(path).select(polars_stamp(), *MEASURES).collect()


def pyarrow_read(path: Path) -> Any:
    table = pacsv.read_csv(
        path,
        parse_options=pacsv.ParseOptions(delimiter=";"),
        convert_options=pacsv.ConvertOptions(
            null_values=["?", ""],
            timestamp_parsers=["%d/%m/%Y"],
            column_types={"Date": pa.timestamp("us"), "Time": pa.time32("s")} | {m: pa.float64() for m in MEASURES},
        ),
    )
    clock = pc.cast(pc.cast(table["Time"], pa.int32()), pa.int64())
    stamp = pc.add(pc.cast(table["Date"], pa.int64()), pc.multiply(clock, 1_000_000))
    return table.drop_columns(["Date", "Time"]).add_column(0, "time", pc.cast(stamp, pa.timestamp("us", "UTC")))


DUCK_READ = """
    select strptime("Date" || ' ' || "Time", '%d/%m/%Y %H:%M:%S') as time, * exclude ("Date", "Time")
    from read_csv('{path}', delim=';', header=true, nullstr=['?', ''], auto_detect=false, columns={columns})
"""


def duck_query(path: Path) -> str:
    columns = {"Date": "VARCHAR", "Time": "VARCHAR"} | dict.fromkeys(MEASURES, "DOUBLE")
    return DUCK_READ.format(path=path, columns=columns)


def duckdb_read(path: Path) -> Any:
    return duckdb.sql(duck_query(path)).to_arrow_table()


def pandas_read(path: Path) -> Any:
    frame = pd.read_csv(path, sep=";", na_values=["?"], engine="c", dtype={"Date": str, "Time": str})
    frame.insert(0, "time", pd.to_datetime(frame.pop("Date") + " " + frame.pop("Time"), format="%d/%m/%Y %H:%M:%S"))
    return frame


def polars_quarters(path: Path) -> Any:
    day = pl.col("Date").str.to_date("%d/%m/%Y")
    return (
        polars_lazy(path)
        .group_by(day.dt.truncate("1q").alias("quarter"))
        .agg(pl.col("Global_active_power").sum() * (1000 / 60))
        .collect()
    )


def duckdb_quarters(path: Path) -> Any:
    query = f"""select date_trunc('quarter', time) q, sum("Global_active_power") * 1000 / 60
                from ({duck_query(path)}) group by q"""
    return duckdb.sql(query).fetchall()


def polars_aggregates() -> list[pl.Expr]:
    return [getattr(pl.col(m), a)().alias(f"{m}_{a}") for m in MEASURES for a in AGGREGATES]


def polars_hours(path: Path) -> Any:
    return polars_lazy(path).group_by(polars_stamp().dt.truncate("1h")).agg(polars_aggregates()).collect()


def duckdb_hours(path: Path) -> Any:
    names = {"mean": "avg", "min": "min", "max": "max", "sum": "sum", "count": "count"}
    columns = ", ".join(f'{names[a]}("{m}")' for m in MEASURES for a in AGGREGATES)
    return duckdb.sql(
        f"select date_trunc('hour', time) h, {columns} from ({duck_query(path)}) group by h"
    ).to_arrow_table()


def polars_dynamic(frame: pl.DataFrame) -> Any:
    return frame.group_by_dynamic("time", every="1h").agg(polars_aggregates())


def polars_group_by(frame: pl.DataFrame) -> Any:
    return frame.group_by(pl.col("time").dt.truncate("1h")).agg(polars_aggregates())


def polars_grains(path: Path) -> dict[str, pl.DataFrame]:
    """The windows of `make run` with its aggregates, one group_by_dynamic a grain from one read."""
    frame = polars_read(path)
    power = [getattr(pl.col(MEASURES[0]), a)().alias(f"{MEASURES[0]}_{a}") for a in ("mean", "min", "max")]
    power.append((pl.col(MEASURES[0]).sum() * (1000 / 60)).alias("energy_wh"))
    gauges = [getattr(pl.col(m), a)().alias(f"{m}_{a}") for m in MEASURES[1:4] for a in ("mean", "min", "max")]
    sums = [pl.col(m).sum().alias(f"{m}_sum") for m in MEASURES[4:]]
    columns = [pl.len().alias("readings"), *power, *gauges, *sums]
    return {g: frame.group_by_dynamic("time", every=every).agg(columns) for g, every in GRAINS.items()}


def polars_sqlite(path: Path, out: Path) -> None:
    """polars, then Python's sqlite3 with executemany, one transaction, an upsert by (grain, time)."""
    base = sqlite3.connect(out)
    made = False
    for grain, frame in polars_grains(path).items():
        names = ["grain", *frame.columns]
        quoted = ", ".join(f'"{n}"' for n in names)
        if not made:
            base.execute(f'create table windows ({quoted}, primary key ("grain", "time")) without rowid')
            made = True
        sets = ", ".join(f'"{n}" = excluded."{n}"' for n in names[2:])
        marks = ", ".join("?" * len(names))
        rows = frame.with_columns(pl.col("time").dt.to_string("%Y-%m-%d %H:%M:%S")).rows()
        base.executemany(
            f"insert into windows values ({marks}) on conflict do update set {sets}", ((grain, *row) for row in rows)
        )
    base.commit()
    base.close()


def polars_parquet(path: Path, out: Path) -> None:
    for grain, frame in polars_grains(path).items():
        (out / f"grain={grain}").mkdir(parents=True)
        frame.write_parquet(out / f"grain={grain}" / "part.parquet", compression="zstd", compression_level=1)


def mixed_polars(path: Path) -> Any:
    return pl.read_csv(path, try_parse_dates=True)


def mixed_duckdb(path: Path) -> Any:
    return duckdb.sql(f"select * from read_csv('{path}')").to_arrow_table()


def mixed_pyarrow(path: Path) -> Any:
    return pacsv.read_csv(path)
