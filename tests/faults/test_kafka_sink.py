"""Topics as home and as follower, while their clients are killed and frozen and the broker is killed."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from runs import (
    again_changes_nothing,
    defect_is_noticed,
    frozen_is_fenced,
    no_epoch_is_noticed,
    nothing_lost_where_killed,
    one_works_the_other_is_told_so,
    through_a_killed_server,
)
from tests.services import Kafka

HOMES = ["kafka", "sqlite+kafka"]
POINTS = [
    "before_decide", "committing", "before_commit", "committed", "after_decide", "before_apply", "after_apply",
]  # fmt: skip


@pytest.fixture
def topics(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Names topics that are not there yet and points the runs and the oracle at them."""

    def make(server: Kafka = kafka) -> None:
        monkeypatch.setenv("WATTLINE_TEST_KAFKA", server.url)
        monkeypatch.setenv("WATTLINE_TEST_TOPIC", f"faults-{uuid.uuid4().hex[:12]}")

    return make


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_all_stores_hold_what_was_sent(tmp_path: Path, topics, home: str, point: str) -> None:
    nothing_lost_where_killed(tmp_path, home, point, topics)


@pytest.mark.parametrize("home", HOMES)
def test_run_again_changes_nothing(tmp_path: Path, topics, home: str) -> None:
    topics()
    again_changes_nothing(tmp_path, home)


@pytest.mark.parametrize("point", ["before_decide", "committing", "committed", "after_decide", "before_apply"])
def test_a_frozen_owner_is_fenced(tmp_path: Path, topics, point: str) -> None:
    # The first transactions take the partition and fence the topics.
    first = 6 if point in ("committing", "committed") else 2
    frozen_is_fenced(tmp_path, "kafka", point, first, topics)


def test_two_copies_one_works_the_other_is_told_so(tmp_path: Path, topics) -> None:
    topics()
    one_works_the_other_is_told_so(tmp_path, "kafka")


@pytest.mark.parametrize("home", HOMES)
def test_a_broker_that_is_killed_and_comes_back(tmp_path: Path, topics, home: str) -> None:
    with Kafka() as server:
        for seed, point in enumerate(["before_decide", "committing", "committed", "before_apply"]):
            topics(server)
            through_a_killed_server(tmp_path / str(seed), home, server, f"{point}:{7 + seed}", seed)


class TestBrokenBuildsAreNoticed:
    """The harness proves something only if these defects fail it."""

    @pytest.mark.parametrize("defect", ["early_position", "in_place"])
    def test_in_the_order_of_steps(self, tmp_path: Path, topics, defect: str) -> None:
        defect_is_noticed(tmp_path, "kafka", defect, topics)

    def test_no_epoch_check(self, tmp_path: Path, topics) -> None:
        no_epoch_is_noticed(tmp_path, "kafka", topics)
