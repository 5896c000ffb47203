"""A bucket as home and as follower, while its clients are killed and frozen and answers to a manifest are lost."""

import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from cutting import Relay, Send, post, refusal, relay
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


def through(wire: Relay, s3: S3, url: str | None = None) -> str:
    """The same bucket behind the wire."""
    return re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{wire.port}", url or s3.url)


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
        prefix(through(wire, s3))
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


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("arrives", ["at once", "late"])
def test_a_no_to_the_second_attempt_says_nothing_of_the_first(
    tmp_path: Path, prefix, s3: S3, home: str, arrives: str
) -> None:
    """The client tries again by itself; the manifest that it sent first may be there, or come, with its files."""
    sent = Sent(2)
    sent.write(tmp_path)
    manifest = 3 if home == "s3" else 2
    answers = refusal("503 Slow Down", "SlowDown"), refusal("403 Forbidden", "AccessDenied")
    with post(s3.port, rb"PUT \S+/windows\.wattline/p0/\d+ ", manifest, arrives, *answers) as wire:
        prefix(through(wire, s3))
        code, said = run(tmp_path, home)
        assert wire.cut.is_set(), said
        assert code == 0 or (home != "s3" and "EndpointError" in said), said
        wire.deliver()
        code, said = run(tmp_path, home)
        assert code == 0, said
        assert complaints(sent, tmp_path, GRAINS) == []


@pytest.mark.parametrize("what", [r"\.wattline/probe-\S+", r"\.wattline/table\.json", r"/lease", r"/p0/0+1"])
@pytest.mark.parametrize("arrives", ["at once", "never"])
def test_a_lost_answer_before_row_one_ends_no_run(tmp_path: Path, prefix, s3: S3, what: str, arrives: str) -> None:
    sent = Sent(8)
    sent.write(tmp_path)
    with post(s3.port, rb"PUT \S+" + what.encode() + b" ", 1, arrives) as wire:
        prefix(through(wire, s3))
        code, said = run(tmp_path, "s3")
        assert wire.cut.is_set() and code == 0, said
        assert complaints(sent, tmp_path, GRAINS) == []


@pytest.mark.parametrize("arrives", ["at once", "never"])
def test_a_lost_answer_to_a_removal_ends_no_run(tmp_path: Path, prefix, s3: S3, arrives: str) -> None:
    sent = Sent(9)
    sent.write(tmp_path)
    with post(s3.port, rb"DELETE \S+/staged/", 1, arrives) as wire:
        prefix(through(wire, s3))
        code, said = run(tmp_path, "s3")
        assert wire.cut.is_set() and code == 0, said
        assert complaints(sent, tmp_path, GRAINS) == []


def test_a_bucket_that_is_gone_is_not_taken_for_a_file_that_was_published(tmp_path: Path, prefix, s3: S3) -> None:
    sent = Sent(4)
    sent.write(tmp_path)
    gone = refusal("404 Not Found", "NoSuchBucket")
    with post(s3.port, rb"(?is)PUT \S+/windows/.*\r\nx-amz-copy-source: ", 1, "never", gone) as wire:
        prefix(through(wire, s3))
        code, said = run(tmp_path, "s3")
        assert code == 1 and "there is no bucket" in said, said
        assert run(tmp_path, "s3")[0] == 0
        assert complaints(sent, tmp_path, GRAINS) == []


def test_a_store_that_makes_an_object_twice_is_refused_every_time(tmp_path: Path, prefix, s3: S3) -> None:
    Sent(5).write(tmp_path)

    def deaf(request: bytes, send: Send) -> bytes:
        return send(re.sub(rb"(?i)\r\nif-none-match: \*", b"", request))

    with relay(s3.port, deaf) as wire:
        prefix(through(wire, s3))
        # As often as there are sinks, and once more.
        for _ in range(3):
            code, said = run(tmp_path, "s3")
            assert code == 1 and "does not heed If-None-Match" in said, said
        assert s3.names(os.environ["WATTLINE_TEST_PREFIX"]) == []


SIGN = b'{"token":"%s","owner":"process 7 on elsewhere","since":"2026-01-01","pipeline":"home","renewed":1}'
LIVE = """
import sys, wattline as wl
wl.Pipeline("home", source="sim://?sensors=1&rate=60x", grains="1h", sinks=sys.argv[1]).run(progress=False)
"""


def test_a_sign_that_arrives_late_does_not_take_the_place_of_another_owners(s3: S3) -> None:
    name = f"faults-{uuid.uuid4().hex[:12]}"
    lease = f"/{NAME}/{name}.wattline/p0/lease"
    with post(s3.port, rb"PUT \S+/lease ", 2, "late") as wire:
        command = [sys.executable, "-c", LIVE, through(wire, s3, s3.at(name, lease=1))]
        owner = subprocess.Popen(command, stderr=subprocess.PIPE)
        try:
            assert wire.cut.wait(60), "the sign was not written anew"
            s3.ask("PUT", lease, SIGN % b"new")
            wire.deliver()
            time.sleep(1)
            assert s3.ask("GET", lease) == SIGN % b"new"
        finally:
            owner.kill()
            owner.communicate()


def test_an_owner_that_renews_its_sign_is_alive_whatever_the_clocks_say(s3: S3, tmp_path: Path, prefix) -> None:
    Sent(6).write(tmp_path)

    def skewed(request: bytes, send: Send) -> bytes:
        answer = send(request)
        old = b"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
        return re.sub(rb"(?i)\r\nlast-modified: [^\r]*\r\n", old, answer) if b"/lease " in request else answer

    with relay(s3.port, skewed) as wire:
        prefix(through(wire, s3, s3.at("", lease=3)))
        lease = f"/{NAME}/{os.environ['WATTLINE_TEST_PREFIX']}/windows.wattline/p0/lease"
        over = threading.Event()

        def renew() -> None:
            count = 0
            while not over.wait(0.3):
                count += 1
                s3.ask("PUT", lease, SIGN % str(count).encode())

        s3.ask("PUT", lease, SIGN % b"0")
        owner = threading.Thread(target=renew)
        owner.start()
        try:
            code, said = run(tmp_path, "s3")
        finally:
            over.set()
            owner.join()
        assert code == 1 and "owned by process 7 on elsewhere" in said, said
        # It is silent now: one look at it is enough.
        code, said = run(tmp_path, "s3")
        assert code == 0, said


def test_a_build_that_checks_no_epochs_is_noticed(tmp_path: Path, prefix) -> None:
    """The harness proves something only if this defect fails it."""
    no_epoch_is_noticed(tmp_path, "s3", prefix)
