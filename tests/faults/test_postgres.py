"""PostgreSQL as home and as follower, while its clients are killed, its server is killed, its answers are lost."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from cutting import wire
from drive import GRAINS
from oracle import Sent, complaints
from runs import (
    SEEDS,
    again_changes_nothing,
    defect_is_noticed,
    frozen_is_fenced,
    no_epoch_is_noticed,
    nothing_lost_where_killed,
    one_works_the_other_is_told_so,
    run,
    through_a_killed_server,
)
from tests.services import Postgres

HOMES = ["postgres", "sqlite+postgres"]
POINTS = [
    "after_read", "after_aggregate", "before_decide", "committing", "committed", "after_decide",
    "before_apply", "after_apply",
]  # fmt: skip


@pytest.fixture
def schema(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Makes an empty schema and points the runs and the oracle at it."""
    made = 0

    def make(url: str = postgres.url) -> str:
        nonlocal made
        made += 1
        name = f"faults_{made}"
        with psycopg.connect(url, autocommit=True) as base:
            base.execute(f"drop schema if exists {name} cascade")
            base.execute(f"create schema {name}")
        monkeypatch.setenv("WATTLINE_TEST_POSTGRES", url)
        monkeypatch.setenv("WATTLINE_TEST_SCHEMA", name)
        return name

    return make


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_all_stores_hold_what_was_sent(tmp_path: Path, schema, home: str, point: str) -> None:
    nothing_lost_where_killed(tmp_path, home, point, schema)


@pytest.mark.parametrize("home", HOMES)
def test_run_again_changes_nothing(tmp_path: Path, schema, home: str) -> None:
    schema()
    again_changes_nothing(tmp_path, home)


@pytest.mark.parametrize("point", ["before_decide", "committing", "committed", "after_decide", "before_apply"])
def test_a_frozen_owner_is_ended_and_fenced(tmp_path: Path, schema, point: str) -> None:
    # The first four commits prepare three tables and take the partition.
    first = 5 if point in ("committing", "committed") else 2
    frozen_is_fenced(tmp_path, "postgres", point, first, schema)


def test_two_copies_one_works_the_other_is_told_so(tmp_path: Path, schema) -> None:
    schema()
    one_works_the_other_is_told_so(tmp_path, "postgres")


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("home", HOMES)
def test_a_lost_answer_to_commit_is_settled(
    tmp_path: Path, schema, postgres: Postgres, monkeypatch, home: str, arrives: bool
) -> None:
    for seed in SEEDS:
        schema()
        folder = tmp_path / str(seed)
        sent = Sent(seed)
        sent.write(folder)
        with wire(postgres.port, 5 + 2 * seed, arrives=arrives) as cut:
            through = postgres.url.replace(f":{postgres.port}/", f":{cut.port}/")
            code, said = run(folder, home, WATTLINE_TEST_POSTGRES=f"{through}?sslmode=disable")
        assert code == 0, said
        assert cut.cut.is_set(), "no COMMIT was cut"
        assert complaints(sent, folder, GRAINS) == [], f"seed {seed}"


@pytest.mark.parametrize("children", [True, False])
@pytest.mark.parametrize("home", HOMES)
def test_a_server_that_is_killed_and_comes_back(tmp_path: Path, schema, home: str, children: bool) -> None:
    with Postgres() as server:
        for seed, point in enumerate(["before_decide", "committing", "committed", "before_apply", "after_read"]):
            schema(server.url)
            through_a_killed_server(tmp_path / str(seed), home, server, f"{point}:{3 + seed}", seed, children=children)


class TestBrokenBuildsAreNoticed:
    """The harness proves something only if these defects fail it."""

    @pytest.mark.parametrize("defect", ["early_position", "in_place"])
    def test_in_the_order_of_steps(self, tmp_path: Path, schema, defect: str) -> None:
        defect_is_noticed(tmp_path, "postgres", defect, schema)

    def test_no_epoch_check(self, tmp_path: Path, schema) -> None:
        no_epoch_is_noticed(tmp_path, "postgres", schema)
