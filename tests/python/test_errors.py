"""Exceptions say what the caller does next, carry where it was, and travel between processes."""

import pickle

import pytest

import wattline as wl


@pytest.mark.parametrize(
    ("error", "parents"),
    [
        (wl.SchemaError, [ValueError]),
        (wl.AmbiguousDates, [wl.SchemaError]),
        (wl.AmbiguousZone, [wl.SchemaError]),
        (wl.NotFound, [wl.EndpointError, FileNotFoundError]),
        (wl.TimedOut, [wl.EndpointError, TimeoutError]),
        (wl.EndpointError, [OSError]),
        (wl.Interrupted, [KeyboardInterrupt]),
        (wl.UsageError, [ValueError]),
    ],
)
def test_parents(error: type[wl.WattlineError], parents: list[type]) -> None:
    assert issubclass(error, wl.WattlineError)
    assert all(issubclass(error, parent) for parent in parents)


@pytest.mark.parametrize("name", [n for n in wl.__all__ if isinstance(getattr(wl, n), type)])
def test_errors_are_pickled_with_their_place(name: str) -> None:
    error = getattr(wl, name)
    if not issubclass(error, wl.WattlineError):
        return
    again = pickle.loads(pickle.dumps(error("what", file="a.csv", line=3, column="v", retryable=True)))
    assert type(again) is error
    assert (str(again), again.file, again.line, again.column, again.retryable) == ("what", "a.csv", 3, "v", True)


def test_a_missing_file_is_a_file_not_found_error() -> None:
    with pytest.raises(FileNotFoundError, match="no such file") as caught:
        wl.read_csv("nowhere.csv")
    assert isinstance(caught.value, wl.NotFound)


def test_a_reject_says_where(write) -> None:
    path = write("time,value\n2026-01-01T00:00:00Z,1\n2026-01-01T00:01:00Z,x\n2026-01-01T00:02:00Z,2\n")
    schema = wl.Schema(
        columns=[
            {"name": "time", "type": "timestamp", "role": "time"},
            {"name": "value", "type": "float", "measure": "gauge"},
        ],
        sensor_id="a",
    )
    with pytest.raises(wl.RejectLimit) as caught:
        wl.read_csv(path, schema=schema)
    assert (caught.value.line, caught.value.column) == (3, "value")
    assert caught.value.byte == path.read_bytes().index(b"2026-01-01T00:01")
    assert caught.value.file is not None and caught.value.file.endswith("data.csv")
