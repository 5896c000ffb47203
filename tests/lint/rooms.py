"""Holds the order of the rooms: a room of src/ uses only rooms above it in the list of src/lib.rs."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2] / "src"
LEAVES = ["error", "faults", "runtime", "ledger", "reject", "flush", "metrics", "secret", "wording"]
ORDER = [*LEAVES, "time", "schema", "input", "csv", "codec", "transform", "window"]
ORDER += ["kafka", "source", "sink", "pipeline", "produce"]
# Leaves may use each other.
USE = re.compile(r"\bcrate::(?:\{([^}]*)\}|([a-z_]+))", re.S)


def room_of(path: pathlib.Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".rs")


def used(text: str) -> set[str]:
    code = re.sub(r"//[^\n]*", "", text)
    names: set[str] = set()
    for group, single in USE.findall(code):
        names.update(re.findall(r"\b([a-z_]+)\b(?=::|\s*[,}]|$)", group) if group else [single])
    return names & set(ORDER)


def main() -> int:
    wrong = []
    for path in sorted(ROOT.rglob("*.rs")):
        room = room_of(path)
        if room not in ORDER:
            continue
        for other in sorted(used(path.read_text())):
            below = ORDER.index(other) > ORDER.index(room)
            leaf = room in LEAVES and other in LEAVES
            if below and not leaf:
                wrong.append(f"{path.relative_to(ROOT.parent)}: room {room} uses {other}, which lies below it")
    print("\n".join(wrong) or "rooms: in order")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
