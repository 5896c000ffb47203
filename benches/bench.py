"""The measured tables of the README: wattline and its peers in one run, on the same file.

usage: python benches/bench.py [--rounds 5] [--only NAME[,NAME]] [--file FULL.txt] [-o out/bench.md]

Rounds are interleaved (each contender once a round), one warm-up round is not counted, and medians are
given with the least time beside them. All contenders may use all cores.
"""

import argparse
import csv
import datetime
import gzip
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import polars as pl

import peers
import wattline as wl

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("WATTLINE_SHARED", HERE.parent.parent / "shared"))
PEERS = ["polars", "pyarrow", "duckdb", "pandas"]
GRAINS = ["15min", "1h", "1d", "1w", "1mo", "1q", "1y"]
LADDER = ["1min", *GRAINS]
FIVE = ["mean", "min", "max", "sum", "count"]
Contenders = dict[str, Callable[[], object]]


def shell(command: str) -> Callable[[], object]:
    return lambda: subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL)


def measure(contenders: Contenders, rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, work in contenders.items():
            began = time.perf_counter()
            result = work()
            spent = time.perf_counter() - began
            del result
            if number:
                times[name].append(spent)
    return times


def table(title: str, times: dict[str, list[float]], floors: tuple[str, ...] = ()) -> list[str]:
    """Markdown: median, least, and every contender's median against ours."""
    ours = statistics.median(times["wattline"])
    lines = [f"### {title}", "", "| | median s | least s | against wattline |", "|---|---|---|---|"]
    for name, spent in times.items():
        median = statistics.median(spent)
        lines.append(f"| {name} | {median:.3f} | {min(spent):.3f} | {median / ours:.1f}× |")
    others = [statistics.median(t) for n, t in times.items() if n != "wattline" and n not in floors]
    if others:
        lines += ["", f"The fastest peer takes {min(others) / ours:.1f}× the time of wattline."]
    return [*lines, ""]


def full_file(folder: Path) -> Path:
    path = folder / "full.txt"
    script = SHARED / "data" / "full_size.py"
    if script.exists():
        subprocess.run([sys.executable, script, path], check=True)
    else:
        subprocess.run(["wattline", "simulate", "--uci", path], check=True)
    return path


def bench_read(path: Path, rounds: int, folder: Path) -> list[str]:
    return table(
        "CSV to typed Arrow with UTC times",
        measure(
            {
                "wattline": lambda: wl.read_csv(path, schema="household"),
                "polars": lambda: peers.polars_read(path),
                "pyarrow": lambda: peers.pyarrow_read(path),
                "duckdb": lambda: peers.duckdb_read(path),
                "pandas": lambda: peers.pandas_read(path),
                "wc -l": shell(f"wc -l {path}"),
            },
            rounds,
        ),
        ("wc -l",),
    )


def bench_quarters(path: Path, rounds: int, folder: Path) -> list[str]:
    energy = {"measures": ["global_active_power"], "aggregates": ["energy"]}
    return table(
        "CSV to energy per quarter",
        measure(
            {
                "wattline": lambda: wl.windows(path, ["1q"], schema="household", **energy),
                "polars lazy": lambda: peers.polars_quarters(path),
                "duckdb": lambda: peers.duckdb_quarters(path),
            },
            rounds,
        ),
    )


def bench_hours(path: Path, rounds: int, folder: Path) -> list[str]:
    return table(
        "CSV to mean, min, max, sum, count of 7 measures per hour",
        measure(
            {
                "wattline": lambda: wl.windows(path, ["1h"], schema="household", aggregates=FIVE),
                "polars lazy": lambda: peers.polars_hours(path),
                "duckdb": lambda: peers.duckdb_hours(path),
            },
            rounds,
        ),
    )


def bench_ladder(path: Path, rounds: int, folder: Path) -> list[str]:
    return table(
        "Eight grains in one pass against 1min alone",
        measure(
            {
                "wattline": lambda: wl.windows(path, LADDER, schema="household"),
                "wattline, 1min alone": lambda: wl.windows(path, ["1min"], schema="household"),
            },
            rounds,
        ),
    )


def mixed_file(path: Path, rows: int = 400_000) -> None:
    """20 columns: text, integers, decimals, booleans, dates and stamps; every third field quoted."""
    dice = random.Random(1)
    words = ["north", "south, east", 'the "old" hall', "west", "kitchen", "roof; cellar", "laundry", "gate"]
    start = datetime.datetime(2026, 1, 1)

    def text(i: int) -> str:
        return '"' + words[(i + dice.randrange(3)) % len(words)].replace('"', '""') + '"'

    with path.open("w", newline="") as file:
        kinds = ["text", "int", "dec"] * 5 + ["flag", "day", "stamp", "note", "small"]
        file.write(",".join(f"{kind}{n}" for n, kind in enumerate(kinds)) + "\n")
        for i in range(rows):
            groups = (f"{text(i)},{dice.randrange(10**6)},{dice.uniform(0, 500):.3f}" for _ in range(5))
            stamp = start + datetime.timedelta(minutes=i)
            tail = f'{"true" if i % 3 else "false"},"{stamp:%Y-%m-%d}",{stamp:%Y-%m-%d %H:%M:%S},{text(i)},{i % 100}'
            file.write(",".join(groups) + "," + tail + "\n")
    with path.open(newline="") as file:
        assert len(next(csv.reader(file))) == 20


def bench_mixed(path: Path, rounds: int, folder: Path) -> list[str]:
    mixed = folder / "mixed.csv"
    mixed_file(mixed)
    return table(
        "A sniffed file of 20 mixed columns, a third of the fields quoted",
        measure(
            {
                "wattline": lambda: wl.read_csv(mixed),
                "polars": lambda: peers.mixed_polars(mixed),
                "duckdb": lambda: peers.mixed_duckdb(mixed),
                "pyarrow": lambda: peers.mixed_pyarrow(mixed),
            },
            rounds,
        ),
    )


def bench_gzip(path: Path, rounds: int, folder: Path) -> list[str]:
    packed = folder / "full.txt.gz"
    with path.open("rb") as plain, gzip.open(packed, "wb", compresslevel=6) as out:
        shutil.copyfileobj(plain, out)
    return table(
        "A .gz file",
        measure(
            {
                "wattline": lambda: wl.read_csv(packed, schema="household"),
                "gzip -dc": shell(f"gzip -dc {packed} > /dev/null"),
            },
            rounds,
        ),
    )


def bench_memory_windows(path: Path, rounds: int, folder: Path) -> list[str]:
    frame = peers.polars_read(path)
    ours = wl.read_csv(path, schema="household")
    measures = [m.lower() for m in peers.MEASURES]
    arrow = frame.rename({m: m.lower() for m in peers.MEASURES}).to_arrow()
    return table(
        "Hourly windows (35 aggregates) of a table in memory",
        measure(
            {
                "wattline": lambda: wl.windows(ours, ["1h"], aggregates=FIVE),
                "wattline, a polars table": lambda: wl.windows(arrow, ["1h"], measures=measures, aggregates=FIVE),
                "polars group_by_dynamic": lambda: peers.polars_dynamic(frame),
                "polars group_by": lambda: peers.polars_group_by(frame),
            },
            rounds,
        ),
        ("wattline, a polars table",),
    )


def bench_stores(path: Path, rounds: int, folder: Path) -> list[str]:
    number = iter(range(10**6))

    def ours(kind: str) -> object:
        out = folder / f"run{next(number)}"
        sink = out.with_suffix(".db") if kind == "sqlite" else out
        return wl.Pipeline("bench", source=path, schema="household", grains=GRAINS, sinks=[sink]).run()

    def theirs(work: Callable[[Path, Path], None]) -> None:
        out = folder / f"peer{next(number)}"
        work(path, out)

    lines = table(
        "run into SQLite (seven grains)",
        measure(
            {"wattline": lambda: ours("sqlite"), "polars + executemany": lambda: theirs(peers.polars_sqlite)}, rounds
        ),
    )
    return lines + table(
        "run into Parquet (seven grains)",
        measure(
            {"wattline": lambda: ours("parquet"), "polars + write_parquet": lambda: theirs(peers.polars_parquet)},
            rounds,
        ),
    )


CHILD = """
import sys, resource, tempfile, pathlib
import wattline as wl
def peak():
    return int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1]) / 1024
idle = peak()
if sys.argv[2] == 'scan':
    rows = sum(len(batch) for batch in wl.scan_csv(sys.argv[1], schema='household'))
else:
    out = pathlib.Path(sys.argv[3]) / 'memory.db'
    wl.Pipeline('memory', source=sys.argv[1], schema='household', grains={grains}, sinks=[out]).run()
print(idle, peak() - idle)
"""


def bench_memory(path: Path, rounds: int, folder: Path) -> list[str]:
    lines = ["### Peak memory above the idle interpreter", "", "| work | rows | MiB |", "|---|---|---|"]
    long = folder / "long.txt"
    script = SHARED / "data" / "full_size.py"
    if script.exists():
        subprocess.run([sys.executable, script, long, "20000000"], check=True)
    for work in ("scan", "run"):
        for rows, file in (("2 M", path), ("20 M", long)):
            if not file.exists():
                continue
            with tempfile.TemporaryDirectory(dir=folder) as out:
                command = [sys.executable, "-c", CHILD.replace("{grains}", repr(GRAINS)), str(file), work, out]
                idle, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            lines.append(f"| {work} | {rows} | {float(peak):.0f} (idle {float(idle):.0f}) |")
    long.unlink(missing_ok=True)
    return [*lines, ""]


def bench_threads(path: Path, rounds: int, folder: Path) -> list[str]:
    counts = [n for n in (1, 2, 4) if n <= (os.cpu_count() or 1)]
    works: Contenders = {f"{n} threads": (lambda n=n: wl.read_csv(path, schema="household", threads=n)) for n in counts}
    times = measure(works, rounds)
    one = statistics.median(times["1 threads"])
    lines = ["### Threads (CSV to Arrow)", "", "| threads | median s | speed-up |", "|---|---|---|"]
    for n in counts:
        median = statistics.median(times[f"{n} threads"])
        lines.append(f"| {n} | {median:.3f} | {one / median:.2f}× |")
    return [*lines, ""]


SENSORS = """
import time, wattline as wl, polars as pl, datetime as dt, tempfile, pathlib
def rss():
    return int(next(l for l in open('/proc/self/status') if l.startswith('VmRSS')).split()[1]) * 1024
n = 1_000_000
start = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
names = pl.Series('sensor_id', [f'meter-{i:07}' for i in range(n)])
def hour(h):
    return pl.DataFrame({'sensor_id': names, 'value': pl.Series(range(n), dtype=pl.Float64)}).with_columns(
        pl.lit(start + dt.timedelta(minutes=h)).alias('time'))
frames = pl.concat([hour(m) for m in range(4)])
out = tempfile.mkdtemp()
before = rss()
began = time.perf_counter()
report = wl.Pipeline('many', source=frames, grains=['1h'], step='1min', measures=['value'],
                     sinks=[pathlib.Path(out) / 'many.db']).run()
spent = time.perf_counter() - began
peak = int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1]) * 1024
print(4 * n / spent, (peak - before) / n, spent, {k: round(v, 3) for k, v in report.timings.items()})
"""


def bench_sensors(path: Path, rounds: int, folder: Path) -> list[str]:
    done = subprocess.run([sys.executable, "-c", SENSORS], check=True, capture_output=True, text=True).stdout
    rate, each, spent, stages = done.split(maxsplit=3)
    return [
        "### A million sensors, hourly windows open, one measure",
        "",
        f"{float(rate):,.0f} readings a second into SQLite; {float(each):.0f} bytes of peak memory a sensor "
        f"(partials, names, the flush that writes a million rows); {float(spent):.1f} s; "
        f"stages in seconds: {stages.strip()}",
        "",
    ]


BENCHES = {
    "read": bench_read,
    "quarters": bench_quarters,
    "hours": bench_hours,
    "ladder": bench_ladder,
    "mixed": bench_mixed,
    "gzip": bench_gzip,
    "memory_windows": bench_memory_windows,
    "stores": bench_stores,
    "threads": bench_threads,
    "memory": bench_memory,
    "sensors": bench_sensors,
}


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "?")
    versions = ", ".join(f"{name} {version(name)}" for name in ["wattline", *PEERS])
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}; {versions}; "
        f"{datetime.date.today()}; `make bench`"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--only", default=",".join(BENCHES))
    arguments.add_argument("--file", type=Path)
    arguments.add_argument("-o", "--out", type=Path, default=Path("out/bench.md"))
    given = arguments.parse_args()
    lines = [machine(), ""]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = given.file or full_file(folder)
        pl.read_csv(path, n_rows=1, separator=";")
        for only in given.only.split(","):
            part = BENCHES[only](path, given.rounds, folder)
            print("\n".join(part), flush=True)
            lines += part
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
