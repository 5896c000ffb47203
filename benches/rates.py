"""What the benches of the stores print: rows a second of each contender."""

import statistics
from pathlib import Path


def show(title: str, rates: dict[str, list[float]], out: Path | None) -> None:
    """Prints the table of all rounds, and writes it to ``out``."""
    lines = [f"### {title}", "", "| | median rows/s | most rows/s |", "|---|---|---|"]
    lines += [f"| {name} | {statistics.median(found):,.0f} | {max(found):,.0f} |" for name, found in rates.items()]
    text = "\n".join([*lines, ""])
    print(text)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text)
