"""The page of a store in PostgreSQL or Cassandra is that of the same pipeline in SQLite."""

import re
import uuid
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from cassandra.cluster import Cluster

import wattline as wl
from conftest import shell
from tests.services import Cassandra, Postgres

GRAINS = ["15min", "1h", "1d", "1mo", "1q"]


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """An empty schema or keyspace of the test's own, as a URL."""

    def made(kind: str) -> str:
        name = f"p{uuid.uuid4().hex[:12]}"
        server = request.getfixturevalue(kind)
        if kind == "cassandra":
            return f"{server.url}/{name}"
        with psycopg.connect(server.url, autocommit=True) as link:
            link.execute(f"create schema {name}")
        return f"{server.url}?schema={name}"

    return made


def pipeline(source: Path, *sinks: object, **options: object) -> wl.Pipeline:
    told = {"schema": "household", "grains": GRAINS, "on_reject": "collect"}
    return wl.Pipeline("home", source=source, sinks=list(sinks), **{**told, **options})


def without_its_name(html: str) -> str:
    """The page without title, source and the moment it was made."""
    for pattern in (r"<title>.*?</title>", r"<h1>.*?</h1>", r"<footer>.*?</footer>"):
        html = re.sub(pattern, "", html, flags=re.S)
    return html


def bad(uci: Path, folder: Path) -> Path:
    """The household with a record that cannot be read."""
    lines = uci.read_text().split("\n")
    path = folder / "bad.txt"
    path.write_text("\n".join([*lines[:9000], "1/13/2007;00:00:00;<b>;1;1;1;1;1;1", *lines[9000:]]))
    return path


@pytest.mark.parametrize("kind", ["postgres", "cassandra"])
def test_the_page_is_that_of_the_same_pipeline_in_sqlite(place, uci: Path, tmp_path: Path, kind: str) -> None:
    url, file, source = place(kind), f"sqlite://{tmp_path}/a.db", bad(uci, tmp_path)
    pages = []
    for at in (file, url):
        made = pipeline(source, at, wl.Sink(at, "rejects"))
        assert made.run(progress=False).ledger["rejected"] == 1
        pages += [wl.report_page(at), wl.report_page(made)]
    due = pages[0]
    assert "Energy by quarter" in due.html and "1 record could not be read" in due.html and "the books" in due.html
    for page in pages[1:]:
        assert page.summary() == due.summary()
        assert without_its_name(page.html) == without_its_name(due.html)
    assert "wattline:wattline" not in pages[2].html
    done = shell("report", url, "-o", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    assert without_its_name((tmp_path / "page.html").read_text()) == without_its_name(due.html)


@pytest.mark.parametrize("kind", ["postgres", "cassandra"])
def test_a_store_that_follows_shows_its_windows_without_the_books(place, uci: Path, tmp_path: Path, kind: str) -> None:
    url = place(kind)
    table = url + ("&" if "?" in url else "?") + "table=mine"
    made = pipeline(uci, tmp_path / "home.db", table)
    made.run(progress=False)
    due = wl.report_page(made).summary()
    for named in (table, url):
        page = wl.report_page(named, schema="household")
        assert page.summary() == due
        assert "home, which is another store" in page.html and "the books" not in page.html
    with pytest.raises(wl.NotFound, match="'other'"):
        wl.report_page(table.replace("mine", "other"))


def test_tables_with_other_names_are_read_by_the_pipeline_that_knows_them(
    place, postgres: Postgres, cassandra: Cassandra, uci: Path, tmp_path: Path
) -> None:
    columns = {"who": "sensor_id", "width": "grain", "start": "window_start", "name": "window_label"}
    columns |= {"seen": "readings", "due": "expected", "lost": "missing", "kw": "global_active_power_mean"}
    columns |= {"wh": "global_active_power_energy_wh", "first": "first_reading", "last": "last_reading"}
    base, keyspace = place("postgres"), place("cassandra")
    with psycopg.connect(postgres.url, autocommit=True) as link:
        link.execute(
            f"create table {base.rpartition('=')[2]}.theirs (who varchar(40), width text, start timestamp, name text,"
            " seen int, due int, lost int, kw double precision, wh numeric, first timestamptz, last timestamp,"
            " primary key (who, width, start))"
        )
    name = keyspace.rpartition("/")[2]
    cluster = Cluster([cassandra.addresses[0]], port=cassandra.port)
    link = cluster.connect()
    link.execute(f"CREATE KEYSPACE {name} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}")
    link.execute(
        f"CREATE TABLE {name}.theirs (who text, width text, start timestamp, name text, seen int, due int, lost int,"
        " kw double, wh double, first timestamp, last timestamp, PRIMARY KEY (who, width, start))"
    )
    cluster.shutdown()
    due = pipeline(uci, tmp_path / "due.db", aggregates={"global_active_power": ["mean", "energy"]})
    due.run(progress=False)
    due = wl.report_page(due).summary()["household"]
    for at in (base, keyspace):
        options = {"aggregates": {"global_active_power": ["mean", "energy"]}}
        made = pipeline(uci, wl.Sink(at, table="theirs", columns=columns), **options)
        made.run(progress=False)
        held = wl.report_page(made).summary()["household"]
        assert {n: held[n] for n in ("readings", "missing", "gaps", "highest_hour")} == {
            n: due[n] for n in ("readings", "missing", "gaps", "highest_hour")
        }
        assert held["energy_wh"] == pytest.approx(due["energy_wh"])
        with pytest.raises(wl.UsageError, match=r"'theirs' of .* has no column 'sensor_id'.*Pipeline"):
            wl.report_page(at + ("&" if "?" in at else "?") + "table=theirs")


def test_what_holds_nothing_of_ours_is_said(place, postgres: Postgres) -> None:
    with pytest.raises(wl.NotFound, match="no store of wattline"):
        wl.report_page(place("postgres"))
    with pytest.raises(wl.WattlineError) as refused:
        wl.report_page(place("cassandra"))
    assert "\n" not in str(refused.value)
    with pytest.raises(wl.EndpointError, match="password") as refused:
        wl.report_page(postgres.url.replace(":wattline@", ":hidden@"))
    assert "hidden" not in str(refused.value)
