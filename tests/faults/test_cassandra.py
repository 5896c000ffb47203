"""Cassandra as home and as follower, while its clients are killed, frozen and its node is killed."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cassandra.cluster import Cluster, Session

from drive import GRAINS
from oracle import complaints
from runs import (
    SEEDS,
    again_changes_nothing,
    defect_is_noticed,
    frozen_owner,
    killed_then_run,
    nothing_lost_where_killed,
    one_works_the_other_is_told_so,
    run,
    through_a_killed_server,
    zombie_complaints,
)
from tests.services import Cassandra

POINTS = [
    "before_decide", "between_record_and_head", "after_decide", "before_apply", "between_rows_and_applied",
    "after_apply",
]  # fmt: skip


@pytest.fixture
def keyspace(cassandra: Cassandra, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Makes an empty keyspace and points the runs and the oracle at it."""

    made: list[str] = []

    def drop(session: Session) -> None:
        # Hundreds of tables would fill the small heap of a node for tests.
        while made:
            session.execute(f"DROP KEYSPACE {made.pop()}")

    def make(server: Cassandra = cassandra) -> str:
        name = f"faults_{uuid.uuid4().hex[:12]}"
        with Cluster([server.addresses[0]], port=server.port) as cluster:
            session = cluster.connect()
            if server is cassandra:
                drop(session)
            replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
            session.execute(f"CREATE KEYSPACE {name} WITH replication = {replication}")
        if server is cassandra:
            made.append(name)
        monkeypatch.setenv("WATTLINE_TEST_CASSANDRA", server.url)
        monkeypatch.setenv("WATTLINE_TEST_KEYSPACE", name)
        return name

    yield make
    with Cluster([cassandra.addresses[0]], port=cassandra.port) as cluster:
        drop(cluster.connect())


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_all_stores_hold_what_was_sent(tmp_path: Path, keyspace, point: str) -> None:
    nothing_lost_where_killed(tmp_path, "cassandra", point, keyspace)


@pytest.mark.parametrize("point", ["before_apply", "between_rows_and_applied"])
def test_a_follower_is_brought_up_to_date(tmp_path: Path, keyspace, point: str) -> None:
    for seed in SEEDS:
        keyspace()
        folder = tmp_path / str(seed)
        _, sent = killed_then_run(folder, "sqlite+cassandra", point, seed)
        assert complaints(sent, folder, GRAINS) == [], f"seed {seed}, point {point}"


@pytest.mark.parametrize("home", ["cassandra", "sqlite+cassandra"])
def test_run_again_changes_nothing(tmp_path: Path, keyspace, home: str) -> None:
    keyspace()
    again_changes_nothing(tmp_path, home)


def rewound(folder: Path) -> list[str]:
    """A head that a stale owner moved has work left over; one that stands has none."""
    code, said = run(folder, "cassandra")
    return [] if code == 0 and '"flushes": 0,' in said else [f"the head was moved by a stale owner: {said}"]


@pytest.mark.parametrize("point", ["before_decide", "between_record_and_head", "after_decide", "before_apply"])
def test_a_zombie_is_fenced(tmp_path: Path, keyspace, point: str) -> None:
    for seed in SEEDS:
        keyspace()
        folder = tmp_path / str(seed)
        code, said, sent = frozen_owner(folder, "cassandra", seed, point)
        assert zombie_complaints(code, said, sent, folder) == [], f"seed {seed}"
        assert rewound(folder) == [], f"seed {seed}"


def test_two_copies_one_works_the_other_is_told_so(tmp_path: Path, keyspace) -> None:
    keyspace()
    one_works_the_other_is_told_so(tmp_path, "cassandra")


@pytest.mark.parametrize("home", ["cassandra", "sqlite+cassandra"])
def test_a_node_that_is_killed_and_comes_back(tmp_path: Path, keyspace, home: str) -> None:
    with Cassandra() as server:
        for seed, point in enumerate(["between_record_and_head", "between_rows_and_applied"]):
            keyspace(server)
            fault = f"{point}:{3 + seed}" if home == "cassandra" else "before_apply:5"
            through_a_killed_server(tmp_path / str(seed), home, server, fault, seed)


class TestBrokenBuildsAreNoticed:
    """The harness proves something only if these defects fail it."""

    def test_the_position_before_the_decision(self, tmp_path: Path, keyspace) -> None:
        defect_is_noticed(tmp_path, "cassandra", "early_position", keyspace)

    def test_no_epoch_check(self, tmp_path: Path, keyspace) -> None:
        def fenced(name: str, **env: str) -> bool:
            keyspace()
            # Alone: the locks of other stores would stop a stale owner, too.
            code, said, _ = frozen_owner(tmp_path / name, "only-cassandra", 0, "before_decide", **env)
            return code == 1 and "Fenced" in said

        assert fenced("whole")
        assert not fenced("broken", WATTLINE_BROKEN="no_epoch")
