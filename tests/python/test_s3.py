"""Parquet in a bucket: the same rows as in a folder, one owner at a time, and one clear sentence for what is wrong."""

import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow.dataset as ds
import pytest
from pyarrow.fs import S3FileSystem

import wattline as wl
from conftest import python, shell
from tests.services import S3
from tests.services.s3 import NAME, SECRET

GRAINS = ["15min", "1h", "1d", "1mo"]


@pytest.fixture
def place(s3: S3) -> Callable[..., str]:
    """A prefix of the test's own; what is told further stands behind it."""
    name = f"t{uuid.uuid4().hex[:12]}"
    return lambda below="", **options: s3.at(f"{name}{below}", **options)


def name_of(url: str) -> str:
    """``bucket/prefix``."""
    return url.removeprefix("s3://").partition("?")[0]


def read(s3: S3, url: str) -> pl.DataFrame:
    """All rows, by a reader that knows nothing of wattline."""
    keys = {"access_key": "other", "secret_key": "other", "region": "us-east-1"}
    store = S3FileSystem(endpoint_override=s3.endpoint, **keys)
    found = ds.dataset(name_of(url), filesystem=store, format="parquet", partitioning="hive").to_table()
    return in_order(pl.DataFrame(found))


def local(folder: Path) -> pl.DataFrame:
    return in_order(pl.DataFrame(ds.dataset(folder, format="parquet", partitioning="hive").to_table()))


def in_order(rows: pl.DataFrame) -> pl.DataFrame:
    keys = [name for name in ("grain", "sensor_id", "window_start", "time", "row") if name in rows.columns]
    return rows.select(sorted(rows.columns)).sort(keys)


def pipeline(source: Path, *sinks: object, **options: object) -> wl.Pipeline:
    told = {"schema": "household", "grains": GRAINS, **options}
    return wl.Pipeline("home", source=source, sinks=list(sinks), **told)


@pytest.mark.parametrize("home", [True, False])
@pytest.mark.parametrize("partition_by", [None, "date"])
def test_a_bucket_holds_what_a_folder_holds(
    s3: S3, place, uci: Path, tmp_path: Path, home: bool, partition_by: str | None
) -> None:
    at = place("/windows")
    keys = {"region": "us-east-1", "access_key_id": NAME, "secret_access_key": SECRET, "endpoint": s3.endpoint}
    bucket = wl.Parquet(at.partition("?")[0], partition_by=partition_by, **keys)
    folder = wl.Parquet(tmp_path / "out", partition_by=partition_by)
    raw = [wl.Sink(place("/readings"), "readings"), wl.Sink(wl.Parquet(tmp_path / "raw"), "readings")]
    sinks = [bucket, folder] if home else [folder, bucket]
    grains = ["1h", "1d"] if partition_by else GRAINS
    p = pipeline(uci, *sinks, *raw, grains=grains, flush_rows=5_000)
    p.run(progress=False)
    held = read(s3, at)
    assert held.height > 600
    assert held.equals(local(tmp_path / "out"))
    assert read(s3, place("/readings")).equals(local(tmp_path / "raw"))
    before = s3.names(name_of(at).removeprefix("wattline/"))
    assert p.run(progress=False).summary()["flushes"] == 0
    assert s3.names(name_of(at).removeprefix("wattline/") + "/") == [n for n in before if ".wattline/" not in n]
    assert not [n for n in s3.names() if "/staged/" in n or n.endswith("/lease")]


def test_polars_reads_it_as_it_reads_a_folder(s3: S3, place, uci: Path, tmp_path: Path) -> None:
    pipeline(uci, place(), tmp_path / "out").run(progress=False)
    options = {"aws_endpoint_url": s3.endpoint, "aws_allow_http": "true", "aws_region": "us-east-1"}
    options |= {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
    found = pl.read_parquet(f"s3://{name_of(place())}/grain=1h/*.parquet", storage_options=options)
    due = pl.read_parquet(tmp_path / "out" / "grain=1h" / "*.parquet")
    assert found.sort("window_start").equals(due.sort("window_start"))


def test_the_next_file_goes_on_where_the_last_ended(s3: S3, place, uci: Path, tmp_path: Path) -> None:
    header, *lines = uci.read_text().splitlines(keepends=True)
    source = tmp_path / "grows.txt"
    for upto in (7_000, 7_001, 30_000):
        source.write_text(header + "".join(lines[:upto]))
        pipeline(source, place()).run(progress=False)
    pipeline(source, tmp_path / "out").run(progress=False)
    rows = read(s3, place())
    assert rows.equals(local(tmp_path / "out"))
    state = pipeline(source, place()).state()
    assert state.ledger["accepted"] == 30_000


def test_the_page_and_the_shell_read_and_write_it(s3: S3, place, uci: Path, tmp_path: Path) -> None:
    done = shell("run", uci, "--schema", "household", "--grain", "1h", "--grain", "1d", "--sink", place("/w"))
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    page = tmp_path / "page.html"
    done = shell("report", place("/w"), "-o", page)
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr + page.read_text()
    assert "household" in page.read_text()
    # What is above the table holds it, too.
    wl.report_page(f"{place()}&table=w", out=page)
    assert "household" in page.read_text()
    with pytest.raises(wl.NotFound, match="no such store"):
        wl.report_page(place("/none"), out=page)


def test_two_at_once_and_one_that_takes_over(s3: S3, place, uci: Path) -> None:
    """A lease that another host renewed just now refuses a run; one that has run out, or take_over, does not.

    What the clock of that host says does not count, nor that it is far ahead or behind.
    """
    at = place(lease=1)
    pipeline(uci, at).run(progress=False)
    stranger = (
        b'{"token":"x","owner":"process 7 on elsewhere","since":"2026-01-01 00:00:00Z","pipeline":"home","renewed":%d}'
    )
    lease = f"/{name_of(at)}.wattline/p0/lease"
    behind, ahead = 1, 4_000_000_000_000
    for clock in (behind, ahead):
        s3.ask("PUT", lease, stranger % clock)
        with pytest.raises(wl.Fenced, match=r"owned by process 7 on elsewhere since 2026.*take_over") as told:
            pipeline(uci, at).run(progress=False)
        assert SECRET not in str(told.value)
        pipeline(uci, at, take_over=True).run(progress=False)
    s3.ask("PUT", lease, stranger % ahead)
    # A second more than the lease: the store tells whole seconds.
    time.sleep(3)
    pipeline(uci, at).run(progress=False)


def test_keys_come_from_the_environment(s3: S3, place, uci: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = place().partition("?")[0]
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with pytest.raises(wl.UsageError, match=r"no keys for s3://.*set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        pipeline(uci, bare).run(progress=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", NAME)
    with pytest.raises(wl.UsageError, match="half of a key"):
        pipeline(uci, bare).run(progress=False)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert pipeline(uci, bare).run(progress=False).totals["readings"] == 40_000
    monkeypatch.setenv("MY_KEY", SECRET)
    told = f"{bare}?access_key_id={NAME}&secret_access_key=${{MY_KEY}}"
    p = pipeline(uci, told)
    assert "${MY_KEY}" in p.to_toml() and SECRET not in p.to_toml()
    p.run(progress=False)


def test_what_is_wrong_is_told_in_one_sentence_before_row_one(s3: S3, place, uci: Path) -> None:
    def refused(sink: object, words: str, kind: type[wl.WattlineError] = wl.EndpointError) -> None:
        p = pipeline(uci, sink)
        assert any(f.level == "error" and SECRET not in f.message for f in p.check())
        with pytest.raises(kind, match=words) as told:
            p.run(progress=False)
        assert SECRET not in str(told.value) and "\n" not in str(told.value)

    refused(place().replace("s3://wattline/", "s3://nowhere/"), 'there is no bucket "nowhere" at http://127')
    refused(place(retry_for=0.1).replace(f":{s3.port}", ":9"), "cannot be reached at http://127.0.0.1:9 .*network")
    refused(place().replace("127.0.0.1", "192.0.2.7"), "no TLS.*allow_http", wl.UsageError)
    refused(place(endpoint="ftp://x").replace(f"endpoint={s3.endpoint}&", ""), "is no URL", wl.UsageError)


def test_keys_that_are_not_known_are_told(uci: Path) -> None:
    with S3() as strict:
        strict.check_keys(on=True)
        p = pipeline(uci, strict.at("x"))
        assert any("InvalidAccessKeyId" in f.message for f in p.check() if f.level == "error")
        with pytest.raises(
            wl.EndpointError, match=r"the keys for s3://wattline are refused \(InvalidAccessKeyId\)"
        ) as told:
            p.run(progress=False)
        assert SECRET not in str(told.value)


def test_secrets_are_not_shown() -> None:
    made = wl.Parquet("s3://b/c", access_key_id="me", secret_access_key="hush", session_token="hush")
    sink = wl.Sink("s3://b/c?access_key_id=me&secret_access_key=hush&session_token=hush")
    p = wl.Pipeline("x", source="a.csv", grains="1h", sinks=[made])
    for shown in (repr(made), repr(sink), repr(p), p.to_toml()):
        assert "hush" not in shown and "***" in shown


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: wl.Parquet("out", lease=3), 'lease= is for s3://bucket/prefix, and "out" is a folder'),
        (lambda: wl.Parquet(Path("s3://b/c")), "has lost a /"),
        (lambda: wl.Parquet("s3://b/c", access_key_id="x"), "go together"),
        (lambda: wl.Parquet("s3://b/c", secret_access_key=271828), "^Parquet: secret_access_key: what was given is no"),
        (lambda: wl.Parquet("s3://b/c", lease=float("nan")), "^Parquet: lease=nan is no finite number"),
        (
            lambda: wl.Parquet("s3://b/c", retry_for=float("inf")),
            "^Parquet: retry_for=inf is no finite number",
        ),
        (lambda: wl.Parquet("s3://b/c", lease=0), "^Parquet: .*lease=0 is no span of time; give more than 0 seconds"),
        (lambda: wl.Parquet("out", roll_seconds=-1), "roll_seconds=-1 is no span of time; give 0 or more seconds"),
        (lambda: wl.Pipeline("x", source="a", grains="1h", sinks="s3://b/c?lease=nan"), "lease=NaN is no span of time"),
        (lambda: wl.Pipeline("x", source="a", grains="1h", sinks="s3://"), "names no bucket"),
        (lambda: wl.Pipeline("x", source="a", grains="1h", sinks="s3://b/c?regio=x"), "no option .regio.; there are"),
        (lambda: wl.Pipeline("x", source="a", grains="1h", sinks="s3://me:hush@b/c"), "nothing before an @"),
    ],
)
def test_a_mistake_in_an_endpoint_is_told_where_it_is_made(make: Callable[[], object], words: str) -> None:
    with pytest.raises(wl.UsageError, match=words) as told:
        make()
    assert "271828" not in str(told.value) and "hush" not in str(told.value)


FORKED = """
import os, sys, wattline as wl
source, at = sys.argv[1:]
def run(name):
    sink = at.replace("?", f"/{name}?")
    wl.Pipeline(name, source=source, schema="household", grains="1d", sinks=sink).run(progress=False)
run("parent")
child = os.fork()
if child == 0:
    run("child")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
run("parent")
"""


def test_a_forked_process_has_a_client_of_its_own(place, uci: Path) -> None:
    done = python(FORKED, uci, place())
    assert done.returncode == 0, done.stderr
