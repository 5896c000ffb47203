"""One definition of every option: signatures, stub, flags and the core agree."""

import ast
import inspect
import json
from pathlib import Path
from typing import get_type_hints

import pytest

import wattline as wl
from wattline import _native
from wattline.cli import flags
from wattline.options import PipelineOptions, WindowOptions

#: Options of `windows` that are not a pipeline's, and the other way round.
OF_CALL = {"data", "progress"}
OF_STORE = {"name", "source", "sinks", "flush_interval", "flush_rows", "take_over", "stream_name", "may_grow"}
OF_TOPICS = {"state", "group", "instance", "since", "cut", "dlq"}


def core() -> dict[str, object]:
    """Every option of the core with its default."""
    return json.loads(_native.checked_spec("{}"))


def told(face: object, options: type) -> set[str]:
    """What a call takes: its own parameters and the options behind ``**``."""
    named = [p for p in inspect.signature(face).parameters.values() if p.kind is not p.VAR_KEYWORD]  # type: ignore[arg-type]
    return {p.name for p in named} | set(get_type_hints(options))


def test_the_pipeline_has_every_option_and_no_other() -> None:
    assert told(wl.Pipeline, PipelineOptions) == set(core())


def test_windows_has_those_of_a_run_that_keeps_nothing() -> None:
    assert told(wl.windows, WindowOptions) - OF_CALL == set(core()) - OF_STORE - OF_TOPICS


def test_a_word_that_is_none_is_refused_as_python_does() -> None:
    with pytest.raises(TypeError, match="'lateness_'"):
        wl.windows("a.csv", "1h", lateness_="1s")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'sinks_'"):
        wl.Pipeline("x", source="a.csv", sinks_="out.db")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'flush_rows'"):
        wl.windows("a.csv", "1h", flush_rows=3)  # type: ignore[call-arg]


def test_the_flags_are_the_options() -> None:
    assert set(flags.FLAGS) == set(core()) - {"source"}


def test_an_option_given_reaches_the_core() -> None:
    given = {
        "lateness": "30s",
        "on_late": "correct",
        "correct_for": "1d",
        "idle": "5min",
        "ahead": "2h",
        "on_duplicate": "keep",
        "on_conflict": "last",
        "dedupe_for": "2h",
        "on_repeated": "earliest",
        "on_missing": "shift",
        "on_reject": "collect",
        "max_rejects": 7,
        "flush_interval": "2s",
        "flush_rows": 9,
        "chunk_bytes": 70_000,
        "max_line_bytes": 1_000,
        "waiting_rows": 8,
        "spill_dir": "there",
        "take_over": True,
        "stream_name": "s",
        "may_grow": True,
        "state": "keyed",
        "group": "g",
        "instance": "i",
        "since": "earliest",
        "cut": "2026-01-01T00:00:00Z",
        "dlq": "bad",
        "tz": "Europe/Paris",
        "time": "t",
        "measures": ["m"],
        "step": "1min",
    }
    held = json.loads(wl.Pipeline("x", source="a.csv", grains="1h", sensor="s", **given)._spec)
    assert {name: held[name] for name in given} == given
    assert held["grains"] == ["1h"]
    assert held["sensor"] in ("s", ["s"])


def test_the_stub_names_what_the_native_half_has() -> None:
    tree = ast.parse((Path(wl.__file__).parent / "_native.pyi").read_text())
    named = {node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    held = {name for name in dir(_native) if not name.startswith("__")}
    assert held - {"Batches"} == named


def test_every_public_name_says_what_it_is() -> None:
    for name in wl.__all__:
        thing = getattr(wl, name)
        if callable(thing) and name not in ("Table", "Schema", "Reader"):
            assert inspect.getdoc(thing), name
