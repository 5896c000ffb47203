"""Real processes, killed at named points; the oracle judges the stores afterwards.

A failing case prints its seed; run it alone with `-k`.
"""

from pathlib import Path

import pytest

from drive import GRAINS
from oracle import Sent, complaints
from runs import (
    again_changes_nothing,
    defect_is_noticed,
    frozen_is_fenced,
    no_epoch_is_noticed,
    nothing_lost_where_killed,
    one_works_the_other_is_told_so,
    run,
)

HOMES = ["sqlite", "parquet"]
POINTS = [
    "after_read", "after_aggregate", "before_decide", "after_decide", "before_apply", "after_apply",
    "staged", "manifest", "published",
]  # fmt: skip


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_the_stores_hold_what_was_sent(tmp_path: Path, home: str, point: str) -> None:
    nothing_lost_where_killed(tmp_path, home, point)


@pytest.mark.parametrize("home", HOMES)
def test_run_again_changes_nothing(tmp_path: Path, home: str) -> None:
    again_changes_nothing(tmp_path, home)


@pytest.mark.parametrize("home", HOMES)
def test_a_failed_step_is_a_clean_error_and_the_next_run_goes_on(tmp_path: Path, home: str) -> None:
    for seed, point in enumerate(POINTS):
        folder = tmp_path / point
        sent = Sent(seed)
        sent.write(folder)
        code, said = run(folder, home, WATTLINE_FAULT=f"{point}:2:error")
        assert code in (0, 1), said
        assert "panicked" not in said, said
        code, said = run(folder, home)
        assert code == 0, said
        assert complaints(sent, folder, GRAINS) == [], f"point {point}"


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("point", ["before_decide", "after_decide", "before_apply"])
def test_a_zombie_is_fenced(tmp_path: Path, home: str, point: str) -> None:
    frozen_is_fenced(tmp_path, home, point, first=2)


@pytest.mark.parametrize("home", HOMES)
def test_two_copies_one_works_the_other_is_told_so(tmp_path: Path, home: str) -> None:
    one_works_the_other_is_told_so(tmp_path, home)


class TestBrokenBuildsAreNoticed:
    """The harness proves something only if these defects fail it."""

    @pytest.mark.parametrize("defect", ["early_position", "in_place"])
    def test_in_the_order_of_steps(self, tmp_path: Path, defect: str) -> None:
        defect_is_noticed(tmp_path, "sqlite", defect)

    def test_no_epoch_check(self, tmp_path: Path) -> None:
        no_epoch_is_noticed(tmp_path, "sqlite")
