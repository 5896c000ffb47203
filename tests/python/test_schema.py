"""``Schema``: declared, sniffed, replaced, written, pickled."""

import pickle

import pytest

import wattline as wl

METER = """when;meter;load [kW];note
01.02.2026 00:15;A;1,5;x
01.02.2026 00:30;A;1,75;y
13.02.2026 00:45;B;2,25;z
"""


def test_sniffing_prints_its_evidence_and_what_it_cannot_know(write) -> None:
    found = wl.sniff(write(METER))
    shown = repr(found)
    assert "found" in shown and "delimiter" in shown and "not known" in shown
    assert "zone" in shown
    assert set(found.columns) >= {"when", "meter"}
    assert "<table>" in found._repr_html_()


def test_replace_gives_another_and_leaves_the_first(write) -> None:
    found = wl.sniff(write(METER))
    changed = found.replace(tz="Europe/Berlin", step="15min", stamp="end")
    assert (found.tz, changed.tz) == (None, "Europe/Berlin")
    assert changed != found
    assert changed.replace(tz=None, step=None, stamp="start") != changed


def test_columns_are_changed_by_name() -> None:
    household = wl.Schema.preset("household")
    changed = household.replace(columns={"voltage": {"unit": "kV"}})
    assert changed.columns["voltage"]["unit"] == "kV"
    assert changed.columns["global_intensity"] == household.columns["global_intensity"]
    with pytest.raises(wl.SchemaError, match=r'no column "nope"'):
        household.replace(columns={"nope": {}})


def test_toml_and_pickle_round_trips(tmp_path) -> None:
    household = wl.Schema.preset("household").replace(tz="Europe/Paris")
    path = tmp_path / "household.toml"
    path.write_text(household.to_toml())
    for again in (
        wl.Schema.from_toml(household.to_toml()),
        wl.Schema.from_toml(str(path)),
        pickle.loads(pickle.dumps(household)),
    ):
        assert again == household
        assert hash(again) == hash(household)


def test_unknown_keys_are_refused_by_name() -> None:
    with pytest.raises(wl.SchemaError, match="zone"):
        wl.Schema.preset("household").replace(zone="UTC")
    with pytest.raises(wl.SchemaError, match="colums"):
        wl.Schema(colums=[])


def test_it_is_frozen() -> None:
    with pytest.raises(AttributeError):
        wl.Schema.preset("household").tz = "UTC"  # type: ignore[misc]


def test_ambiguous_dates_are_not_guessed(write) -> None:
    path = write("day;value\n01/02/2026 00:00;1\n03/04/2026 00:00;2\n05/06/2026 00:00;3\n")
    with pytest.raises(wl.AmbiguousDates) as caught:
        wl.read_csv(path)
    assert isinstance(caught.value, ValueError)
    assert len(wl.read_csv(path, schema=wl.sniff(path, order="dmy"))) == 3


def test_a_preset_that_is_not_there() -> None:
    with pytest.raises(wl.UsageError, match="household"):
        wl.Schema.preset("houshold")
