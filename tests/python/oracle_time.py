"""Windows of a grain in a zone, from the definitions and ``zoneinfo`` alone: slow and plain.

Shares no code with the Rust core. ``window(t, grain, zone)`` takes and gives microseconds since
1970-01-01T00:00:00Z. Run as a script it reads lines ``zone,grain,start,end`` and says which are
wrong. The zone data may be of another version than the wheel's (``wattline`` has its own compiled
in): compare only years in which both agree.
"""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

SECOND = 1_000_000
DAY = 86_400 * SECOND
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CLOCK = {"1min": 1, "5min": 5, "15min": 15, "30min": 30, "1h": 60, "2h": 120, "3h": 180, "6h": 360, "12h": 720}
WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]


def offset(t: int, zone: ZoneInfo) -> int:
    """Local minus UTC at an instant, microseconds."""
    there = (EPOCH + timedelta(seconds=t // SECOND)).astimezone(zone).utcoffset()
    assert there is not None
    return round(there.total_seconds()) * SECOND


def change(low: int, high: int, zone: ZoneInfo) -> int:
    """The change of offset between two instants an hour apart: the first instant of the new offset."""
    before = offset(low, zone)
    while high - low > SECOND:
        middle = (low + high) // 2 // SECOND * SECOND
        low, high = (middle, high) if offset(middle, zone) == before else (low, middle)
    return high


def changes(low: int, high: int, zone: ZoneInfo) -> list[int]:
    """The changes in ``(low, high]``, looked for hour by hour from a whole second."""
    low = low // SECOND * SECOND
    hours = range(low, high + 3600 * SECOND, 3600 * SECOND)
    pairs = ((a, a + 3600 * SECOND) for a in hours if offset(a, zone) != offset(a + 3600 * SECOND, zone))
    return [c for c in (change(a, b, zone) for a, b in pairs) if c <= high]


def first_at(local: int, zone: ZoneInfo) -> int:
    """The first instant whose local time is ``local`` or later."""
    low, high = local - 2 * DAY, local + 2 * DAY
    for start in [low, *changes(low, high, zone)]:
        # From each change on, the local time runs evenly until the next.
        at = max(start, local - offset(start, zone))
        if at + offset(at, zone) >= local and offset(at, zone) == offset(start, zone):
            return at
    raise AssertionError("no local clock is two days from UTC")


def begin(day: date, grain: str) -> date:
    """The first date of the week, month, quarter or year that holds a date."""
    base, _, anchor = grain.partition("@")
    if base == "1w":
        return day - timedelta(days=(day.weekday() - WEEKDAYS.index(anchor or "mon")) % 7)
    length = {"1mo": 1, "1q": 3, "1y": 12}[base]
    months = day.year * 12 + day.month - 1
    months -= (months - MONTHS.index(anchor or "jan")) % length
    return date(months // 12, months % 12 + 1, 1)


def after(day: date, grain: str) -> date:
    """The first date of the next week, month, quarter or year."""
    longest = {"1w": 7, "1mo": 31, "1q": 92, "1y": 366}[grain.partition("@")[0]]
    return next(d for d in (day + timedelta(days=i) for i in range(1, longest + 1)) if begin(d, grain) == d)


def clock_window(t: int, step: int, zone: ZoneInfo) -> tuple[int, int]:
    """The local floor, cut at changes."""
    there = offset(t, zone)
    start = (t + there) // step * step - there
    cuts = changes(start - SECOND, start + step, zone)
    return max([start, *(c for c in cuts if c <= t)]), min([start + step, *(c for c in cuts if c > t)])


def window(t: int, grain: str, zone_name: str) -> tuple[int, int]:
    """Start and end of the window that holds an instant."""
    zone = ZoneInfo(zone_name)
    if grain == "24h":
        return t // DAY * DAY, t // DAY * DAY + DAY
    if grain in CLOCK:
        return clock_window(t, CLOCK[grain] * 60 * SECOND, zone)
    base, _, anchor = grain.partition("@")
    hour, _, minute = (anchor or "00:00").partition(":") if base == "1d" else ("0", "", "0")
    shift = (int(hour) * 60 + int(minute)) * 60 * SECOND
    day = EPOCH.date() + timedelta(days=(t + offset(t, zone) - shift) // DAY)

    def start_of(first: date) -> int:
        return first_at((first - EPOCH.date()).days * DAY + shift, zone)

    def following(first: date) -> date:
        return first + timedelta(days=1) if base == "1d" else after(first, grain)

    first = day if base == "1d" else begin(day, grain)
    while start_of(following(first)) <= t:
        first = following(first)
    return start_of(first), start_of(following(first))


def main() -> int:
    """Holds the windows on standard input against the oracle."""
    count = wrong = 0
    for line in sys.stdin:
        zone, grain, start, end = line.strip().split(",")
        for t in (int(start), int(end) - 1):
            count += 1
            found = window(t, grain, zone)
            if found != (int(start), int(end)):
                wrong += 1
                print(f"{zone} {grain} {t}: {(int(start), int(end))}, expected {found}")
    print(f"{count} instants, {wrong} wrong")
    return 1 if wrong or not count else 0


if __name__ == "__main__":
    raise SystemExit(main())
