"""The measured tables of the README: wattline and its peers in one run, on the same file.

usage: python benches/bench.py [--rounds 5] [--only NAME[,NAME]] [--file FULL.txt] [-o out/bench.md]

Rounds are interleaved (each contender once a round), one warm-up round is not counted, and medians are
given with the least time and the least processor time beside them. All contenders may use all cores. The whole
takes some minutes; on a busy machine the processor times hold better than the others.
"""

import argparse
import csv
import datetime
import gzip
import os
import platform
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
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
#: Of each round: seconds of the clock, and of all processors.
Times = dict[str, list[tuple[float, float]]]


def shell(command: str) -> Callable[[], object]:
    return lambda: subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL)


def processors() -> float:
    """Seconds of processor time of this process and those it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def measure(contenders: Contenders, rounds: int) -> Times:
    times: Times = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, work in contenders.items():
            began, used = time.perf_counter(), processors()
            result = work()
            spent = time.perf_counter() - began, processors() - used
            del result
            if number:
                times[name].append(spent)
    return times


def median(spent: list[tuple[float, float]]) -> float:
    return statistics.median(wall for wall, _ in spent)


def table(title: str, times: Times, floors: tuple[str, ...] = ()) -> list[str]:
    """Markdown: median, least, processor time, and every contender's median against ours."""
    ours = median(times["wattline"])
    lines = [f"### {title}", "", "| | median s | least s | processor s | against wattline |", "|---|---|---|---|---|"]
    for name, spent in times.items():
        wall, used = (min(column) for column in zip(*spent, strict=True))
        lines.append(f"| {name} | {median(spent):.3f} | {wall:.3f} | {used:.3f} | {median(spent) / ours:.1f}× |")
    others = [median(t) for n, t in times.items() if n != "wattline" and n not in floors]
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
import sys, pathlib
import wattline as wl
def status(field):
    return int(next(l for l in open('/proc/self/status') if l.startswith(field)).split()[1]) / 1024
idle = status('VmRSS')
file, work, out = sys.argv[1:4]
if work == 'scan_csv':
    rows = sum(len(batch) for batch in wl.scan_csv(file, schema='household'))
else:
    sink = pathlib.Path(out) / ('memory.db' if 'SQLite' in work else 'memory')
    told = dict(grains='1h', step='1min') if 'decades' in work else dict(grains={grains}, schema='household')
    wl.Pipeline('memory', source=file, sinks=[sink], **told).run(progress=False)
print(idle, status('VmHWM') - idle)
"""


def peak(file: Path, work: str, folder: Path) -> tuple[float, float]:
    """MiB of the idle interpreter, and what the work took above it at most."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        command = [sys.executable, "-c", CHILD.replace("{grains}", repr(GRAINS)), str(file), work, out]
        idle, above = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(idle), float(above)


def decades_file(path: Path, sensors: int = 10) -> None:
    """Sensors with one reading in 1970 and one in 2037: half a million empty hours each."""
    lines = [f"{time},s{n},{n}" for time in ("1970-01-01 00:00:00", "2037-01-01 00:00:00") for n in range(sensors)]
    path.write_text("\n".join(["time,sensor_id,value", *lines]) + "\n")


def bench_memory(path: Path, rounds: int, folder: Path) -> list[str]:
    lines = ["### Peak memory above the idle interpreter", "", "| work | rows | MiB |", "|---|---|---|"]
    long, decades = folder / "long.txt", folder / "decades.csv"
    script = SHARED / "data" / "full_size.py"
    if script.exists():
        subprocess.run([sys.executable, script, long, "20000000"], check=True)
    decades_file(decades)
    works = [
        (w, r, f)
        for w in ("scan_csv", "run into SQLite", "run into Parquet")
        for r, f in (("2 M", path), ("20 M", long))
    ]
    works.append(("run into Parquet, gaps of decades", "20, 5.9 M windows", decades))
    for work, rows, file in works:
        if file.exists():
            idle, above = peak(file, work, folder)
            lines.append(f"| {work} | {rows} | {above:.0f} (idle {idle:.0f}) |")
    long.unlink(missing_ok=True)
    return [*lines, ""]


THREADS = """
import sys, time
import wattline as wl
times = []
for _ in range(int(sys.argv[3]) + 1):
    began = time.perf_counter()
    if sys.argv[2] == 'read':
        wl.read_csv(sys.argv[1], schema='household')
    else:
        wl.windows(sys.argv[1], ['1h'], schema='household', aggregates={five}, progress=False)
    times.append(time.perf_counter() - began)
print(sorted(times[1:])[(len(times) - 1) // 2])
"""


def bench_threads(path: Path, rounds: int, folder: Path) -> list[str]:
    counts = [n for n in (1, 2, 4) if n <= (os.cpu_count() or 1)]
    lines = ["### Threads", "", "| work | threads | median s | speed-up |", "|---|---|---|---|"]
    for work, name in (("read", "CSV to Arrow"), ("hours", "CSV to 35 aggregates per hour")):
        one = None
        for n in counts:
            command = [sys.executable, "-c", THREADS.replace("{five}", repr(FIVE)), str(path), work, str(rounds)]
            told = os.environ | {"WATTLINE_THREADS": str(n)}
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=told)
            spent = float(done.stdout)
            one = one or spent
            lines.append(f"| {name} | {n} | {spent:.3f} | {one / spent:.2f}× |")
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


def bench_wheel(path: Path, rounds: int, folder: Path) -> list[str]:
    """The installed package as a wheel packs it."""
    package, packed = Path(wl.__file__).parent, folder / "wheel.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in package.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, file.relative_to(package.parent))
    return ["### Wheel", "", f"{packed.stat().st_size / 1e6:.1f} MB packed", ""]


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
    "wheel": bench_wheel,
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
