"""Text from data is escaped wherever it is shown."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

import wattline as wl
from wattline import display

NASTY = "<script>alert(1)</script>&\"'\x1b[2J\x1b]0;own\x07\r\n\u202e\x00"


def test_html_is_escaped_in_names_and_cells() -> None:
    html = wl.Table(pa.table({NASTY: [NASTY]}))._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert not any(sign in html for sign in "\x1b\x07\x00\u202e")


def test_a_terminal_gets_nothing_to_obey() -> None:
    shown = repr(wl.Table(pa.table({NASTY: [NASTY]})))
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert "\\x1b[2J" in shown


@given(st.text())
def test_plain_and_escaped_hold_for_any_text(text: str) -> None:
    assert display.plain(text).isprintable()
    shown = display.escaped(text)
    assert not any(sign in shown for sign in "<>\"'")
    assert shown.isprintable()


def test_wide_tables_say_what_they_left_out() -> None:
    wide = wl.Table(pa.table({f"column number {i}": [i] for i in range(40)}))
    first = repr(wide).split("\n")[1]
    assert "more" in first and len(first) < display.LINE + 20


def test_durations() -> None:
    assert [display.duration(s) for s in (0.0123, 2.5, 75)] == ["12 ms", "2.50 s", "1 min 15 s"]


def test_a_narrow_terminal_gets_fewer_columns(monkeypatch) -> None:
    wide = wl.Table(pa.table({f"column number {i}": [i] for i in range(9)}))
    monkeypatch.setattr("sys.stdout", type("Terminal", (), {"isatty": lambda self: True})())
    monkeypatch.setenv("COLUMNS", "60")
    first = repr(wide).split("\n")[1]
    assert "… 6 more" in first and len(first) < 80


def test_wide_windows_show_measures() -> None:
    readings = wl.simulate(sensors=1, start="2026-01-01", end="2026-01-02", seed=1)
    table = wl.windows(readings, "1d")["1d"]
    first = repr(table).split("\n")[1].split()
    assert first[:4] == ["sensor_id", "grain", "window_label", "readings"]
    assert any(name.endswith("_mean") for name in first), first
    narrow = table.select("sensor_id", "window_start", "window_end", "window_label", "revision", "final")
    assert repr(narrow).split("\n")[1].split() == narrow.column_names
