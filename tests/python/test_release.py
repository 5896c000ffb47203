"""What cannot be run here and would be found out last: workflows name targets that exist, versions agree."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in yaml.safe_load(path.read_text())["jobs"].values() for step in job["steps"]]


def test_there_are_workflows() -> None:
    assert {path.name for path in WORKFLOWS} == {"ci.yml", "wheels.yml"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_targets_that_exist_and_pinned_actions(path: Path) -> None:
    called = [found for step in steps(path) for found in re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))]
    assert set(called) <= TARGETS
    assert called or any(step.get("run") == ".ci/run" for step in steps(path))
    assert all(re.search(r"@(v\d|release/v\d)", step["uses"]) for step in steps(path) if "uses" in step)
    for step in steps(path):
        assert ("run" in step) != ("uses" in step), step


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_jobs_wait_for_jobs_that_exist(path: Path) -> None:
    jobs = yaml.safe_load(path.read_text())["jobs"]
    for job in jobs.values():
        needs = job.get("needs", [])
        assert set([needs] if isinstance(needs, str) else needs) <= set(jobs)


def test_what_ci_runs_is_what_a_person_runs() -> None:
    called = re.findall(r"^make ([a-z-]+)", (ROOT / ".ci/run").read_text(), re.M)
    assert called == ["system", "lint", "test"]
    assert set(called) <= TARGETS


def test_the_changelog_begins_with_this_version() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.M)
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert version and newest and newest[1] == version[1]
