"""A bucket as home and as follower, while its clients are killed and frozen and answers to a manifest are lost."""

import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from cutting import post
from drive import GRAINS
from oracle import Sent, complaints
from runs import (
    again_changes_nothing,
    frozen_is_fenced,
    no_epoch_is_noticed,
    nothing_lost_where_killed,
    one_works_the_other_is_told_so,
    run,
)
from tests.services import S3
from tests.services.s3 import NAME

HOMES = ["s3", "sqlite+s3"]
#: Two are enough beside the folder, which takes the same steps with every one.
FEW = range(2)


@pytest.fixture
def prefix(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Names a place in the bucket that holds nothing, and points the runs and the oracle at it."""

    def make(url: str = s3.url) -> None:
        monkeypatch.setenv("WATTLINE_TEST_S3", url)
        monkeypatch.setenv("WATTLINE_TEST_S3_ENDPOINT", s3.endpoint)
        monkeypatch.setenv("WATTLINE_TEST_PREFIX", f"faults-{uuid.uuid4().hex[:12]}")

    return make


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("point", ["manifest", "staged", "copied", "published"])
def test_killed_anywhere_all_stores_hold_what_was_sent(tmp_path: Path, prefix, home: str, point: str) -> None:
    nothing_lost_where_killed(tmp_path, home, point, prefix, FEW)


@pytest.mark.parametrize("home", HOMES)
def test_run_again_changes_nothing(tmp_path: Path, prefix, home: str) -> None:
    prefix()
    again_changes_nothing(tmp_path, home)


@pytest.mark.parametrize("point", ["before_decide", "copied"])
def test_a_frozen_owner_is_fenced(tmp_path: Path, prefix, point: str) -> None:
    frozen_is_fenced(tmp_path, "s3", point, 2, prefix, FEW)


def test_two_copies_one_works_the_other_is_told_so(tmp_path: Path, prefix) -> None:
    prefix()
    one_works_the_other_is_told_so(tmp_path, "s3")


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("arrives", ["at once", "never", "late"])
def test_a_lost_answer_to_a_manifest_is_settled(tmp_path: Path, prefix, s3: S3, home: str, arrives: str) -> None:
    """Late: it comes when the run has gone on without it, and must not count any more."""
    sent = Sent(1)
    sent.write(tmp_path)
    # As home the third of the windows' manifests, a fence and two flushes; as follower that of its only publication.
    manifest = 3 if home == "s3" else 2
    with post(s3.port, rb"PUT \S+/windows\.wattline/p0/\d+ ", manifest, arrives) as wire:
        prefix(re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{wire.port}", s3.url))
        code, said = run(tmp_path, home)
        assert wire.cut.is_set(), said
        # A follower that cannot tell ends the run; the next one settles it.
        assert code == 0 or (home != "s3" and "EndpointError" in said), said
        code, said = run(tmp_path, home)
        assert code == 0, said
        assert complaints(sent, tmp_path, GRAINS) == []
        if home == "s3":
            # Where it did not come, its number was taken before the run went on.
            made = s3.ask("GET", f"/{NAME}/{os.environ['WATTLINE_TEST_PREFIX']}/windows.wattline/p0/{3:020}")
            assert (b'"why":"fence"' in made) is (arrives != "at once")
        wire.deliver()
        code, said = run(tmp_path, home)
        assert code == 0, said
        assert complaints(sent, tmp_path, GRAINS) == []


def test_a_build_that_checks_no_epochs_is_noticed(tmp_path: Path, prefix) -> None:
    """The harness proves something only if this defect fails it."""
    no_epoch_is_noticed(tmp_path, "s3", prefix)
