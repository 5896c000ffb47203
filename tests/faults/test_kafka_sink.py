"""Topics as home and as follower, while their clients are killed and frozen and the broker is killed."""

import signal
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from drive import GRAINS
from oracle import Sent, complaints
from test_kill import (
    SEEDS,
    finish,
    flushes,
    frozen_owner,
    killed_then_run,
    noticed_defect,
    one_works_the_other_is_told_so,
    run,
    start,
    wait_stopped,
    zombie_complaints,
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


# Before a decision a follower has no part in what happens.
KILLS = [("kafka", point) for point in POINTS]
KILLS += [("sqlite+kafka", point) for point in ("committing", "committed", "before_apply", "after_apply")]


@pytest.mark.parametrize(("home", "point"), KILLS)
def test_killed_anywhere_all_stores_hold_what_was_sent(tmp_path: Path, topics, home: str, point: str) -> None:
    kills = 0
    for seed in SEEDS:
        topics()
        folder = tmp_path / str(seed)
        killed, sent = killed_then_run(folder, home, point, seed)
        kills += killed
        assert complaints(sent, folder, GRAINS) == [], f"seed {seed}, home {home}, point {point}"
    assert kills > 0, f"no process was killed: the point {point} is never passed"


@pytest.mark.parametrize("home", HOMES)
def test_run_again_changes_nothing(tmp_path: Path, topics, home: str) -> None:
    topics()
    sent = Sent(7)
    sent.write(tmp_path)
    assert int(flushes(tmp_path, home)) > 3, "the test wants a run of many flushes"
    assert flushes(tmp_path, home) == "0"
    assert complaints(sent, tmp_path, GRAINS) == []


@pytest.mark.parametrize("point", ["before_decide", "committing", "committed", "after_decide", "before_apply"])
def test_a_frozen_owner_is_fenced(tmp_path: Path, topics, point: str) -> None:
    for seed in SEEDS:
        topics()
        folder = tmp_path / str(seed)
        # The first transactions take the partition and fence the topics.
        first = 6 if point in ("committing", "committed") else 2
        code, said, sent = frozen_owner(folder, "kafka", seed, point, first)
        assert zombie_complaints(code, said, sent, folder) == [], f"seed {seed}"


def test_two_copies_one_works_the_other_is_told_so(tmp_path: Path, topics) -> None:
    topics()
    one_works_the_other_is_told_so(tmp_path, "kafka")


@pytest.mark.parametrize("home", HOMES)
def test_a_broker_that_is_killed_and_comes_back(tmp_path: Path, topics, home: str) -> None:
    with Kafka() as server:
        for seed, point in enumerate(["before_decide", "committing", "committed", "before_apply"]):
            topics(server)
            folder = tmp_path / str(seed)
            sent = Sent(seed)
            sent.write(folder)
            owner = start(folder, home, WATTLINE_FAULT=f"{point}:{7 + seed}:stop")
            try:
                wait_stopped(owner)
                server.kill()
            finally:
                owner.send_signal(signal.SIGCONT)
            server.start()
            code, said = finish(owner)
            if code != 0:
                # The broker was away for longer than it was waited for: a clear word, and the next run goes on.
                assert "EndpointError" in said, f"{point}: {said}"
                code, said = run(folder, home)
            assert code == 0, f"{point}: {said}"
            assert complaints(sent, folder, GRAINS) == [], point


class TestBrokenBuildsAreNoticed:
    """The harness proves something only if these defects fail it."""

    @pytest.mark.parametrize("defect", ["early_position", "in_place"])
    def test_in_the_order_of_steps(self, tmp_path: Path, topics, defect: str) -> None:
        def noticed(seed: int) -> bool:
            topics()
            return noticed_defect(tmp_path / str(seed), "before_decide", seed, defect, home="kafka")

        assert any(noticed(seed) for seed in SEEDS)

    def test_no_epoch_check(self, tmp_path: Path, topics) -> None:
        for seed in SEEDS:
            topics()
            folder = tmp_path / str(seed)
            code, said, sent = frozen_owner(folder, "kafka", seed, "before_decide", WATTLINE_BROKEN="no_epoch")
            if zombie_complaints(code, said, sent, folder):
                return
        raise AssertionError("a build that does not check epochs passed every test")
