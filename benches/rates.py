"""What the benches of the stores share: flags, interleaved rounds, and the table of rows a second of each contender."""

import argparse
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path


def asked(about: str | None, rounds: int) -> argparse.Namespace:
    """The flags of a bench with so many ``rounds`` by default."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("-o", dest="out", type=Path)
    return parser.parse_args()


def interleaved(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each contender gives, round by round: all of them in each."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            found[name].append(work())
    return found


def show(title: str, rates: dict[str, list[float]], out: Path | None) -> None:
    """Prints the table of all rounds, and writes it to ``out``."""
    lines = [f"### {title}", "", "| | median rows/s | most rows/s |", "|---|---|---|"]
    lines += [f"| {name} | {statistics.median(found):,.0f} | {max(found):,.0f} |" for name, found in rates.items()]
    text = "\n".join([*lines, ""])
    print(text)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text)
