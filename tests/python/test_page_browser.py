"""The page in a real browser: nothing on the console, nothing asked for, nothing wider than a phone."""

from pathlib import Path

import pytest

import wattline as wl
from browser import Browser

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def count(elements: str, condition: str) -> str:
    """How many elements meet a condition, as JavaScript."""
    return f"[...document.querySelectorAll({elements!r})].filter(e => {condition}).length"


@pytest.fixture(scope="module")
def browser():
    with Browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = wl.simulate(sensors=2, start="2025-11-20", end="2026-01-10", gaps=0.02, duplicates=0.01)
    out = tmp_path_factory.mktemp("page") / "page.html"
    wl.report_page(table, title="A name that is as long as a name of a file can well be_" * 3, out=out)
    return out


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)])
def test_it_opens_quietly_and_fits(browser: Browser, page: Path, tmp_path: Path, width: int, dark: bool) -> None:
    browser.look(width, 844, dark=dark)
    browser.open(page)
    shot = browser.picture(tmp_path / "shot.png")
    assert shot.startswith(b"\x89PNG") and len(shot) > 20_000
    assert browser.complaints() == []
    assert browser.requests() == []
    assert browser.js(OVERFLOW) <= 0
    assert browser.js("getComputedStyle(document.body).backgroundColor") == (
        "rgb(18, 22, 28)" if dark else "rgb(246, 247, 249)"
    )
    assert browser.js("document.querySelectorAll('.sensor:not([hidden]) svg').length") >= 8
    assert browser.js(count("svg", "!e.querySelector('title') || !e.getAttribute('aria-label')")) == 0


def test_pictures_have_a_size_and_colours(browser: Browser, page: Path) -> None:
    browser.look(1280, 900)
    browser.open(page)
    assert browser.js(count(".sensor:not([hidden]) svg", "e.getBoundingClientRect().height < 60")) == 0
    assert browser.js(count("path.line", "getComputedStyle(e).stroke === 'none'")) == 0


def test_a_sensor_is_chosen_and_a_value_read_off(browser: Browser, page: Path) -> None:
    browser.look(1280, 900)
    browser.open(page)
    assert browser.js("document.querySelectorAll('.sensor:not([hidden])').length") == 1
    choose = "const s = document.getElementById('sensor'); s.value = 's2'; s.dispatchEvent(new Event('change'));"
    browser.js(choose)
    assert browser.js("document.querySelector('.sensor:not([hidden]) h2').textContent") == "house-2"
    point = (
        "const p = document.querySelector('.sensor:not([hidden]) .plot[data-points]'), b = p.getBoundingClientRect();"
        "p.dispatchEvent(new PointerEvent('pointermove', {clientX: b.left + b.width / 2, clientY: b.top + 9}));"
        "p.querySelector('.reader').textContent"
    )
    assert "kW" in browser.js("{" + point + "}")
    assert browser.complaints() == []


def test_it_prints(browser: Browser, page: Path, tmp_path: Path) -> None:
    browser.look(1280, 900, dark=True)
    browser.open(page)
    printed = browser.print(tmp_path / "page.pdf")
    assert printed.startswith(b"%PDF") and len(printed) > 20_000


def test_the_browser_would_tell(browser: Browser, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    script = "<script>console.error('x'); fetch('http://127.0.0.1:9/x').catch(() => 0); nope()</script>"
    bad.write_text(f"<!doctype html><div style='width:2000px'>wide</div>{script}")
    browser.look(390, 844)
    browser.open(bad)
    assert len(browser.complaints()) >= 2
    assert browser.requests() == ["http://127.0.0.1:9/x"]
    assert browser.js(OVERFLOW) > 0
