"""Runs a page of Markdown as it stands: ``python -m tests.docs.page docs/load.md``.

Blocks run in order, in one folder: ``python`` in one interpreter, ``sh`` as commands, ``sql`` and ``cql`` on the
servers; ``toml NAME``, ``csv NAME`` and ``python NAME`` are written to the file NAME; ``py``, the code of others, is
only parsed. A ``text`` block is what the block before it printed: with ``--write`` it is filled in, else compared
(durations aside; a line ``…`` stands for any lines).
"""

import contextlib
import difflib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

BLOCK = re.compile(r"^```(\w*)(?: (\S+))?\n(.*?)^```$", re.M | re.S)
#: What differs from run to run, beside the addresses of servers.
CHANGING = re.compile(
    r"stages .*|flushes +\d+|\d+ min \d+ s|[\d.]+ ?(ms|s)\b|\d{8,}|[0-9a-f]{16,}|/[\w./-]*/tmp[\w./-]*"
)


class Block(NamedTuple):
    """A fenced block: its language, the file it names, its text, and where its text lies in the page."""

    kind: str
    name: str | None
    text: str
    line: int
    span: tuple[int, int]


def blocks(page: str) -> list[Block]:
    return [
        Block(m[1], m[2], m[3], page[: m.start()].count("\n") + 2, m.span(3)) for m in BLOCK.finditer(page)
    ]  # fmt: skip


def steady(text: str) -> list[str]:
    """The lines without what changes from run to run and without the widths of columns."""
    lines = (re.sub(r"[ ─-]+", " ", CHANGING.sub("#", line)).strip() for line in text.splitlines())
    return [line for line in lines if line]


def same(due: str, made: str) -> bool:
    """Whether the output is what the page shows."""
    parts = [re.escape(line) if line != "…" else "(?:.|\n)*?" for line in steady(due)]
    return re.fullmatch("\n".join(parts).replace("\n(?:.|\n)*?", "(?:\n.*)*?"), "\n".join(steady(made))) is not None


class Runner:
    """Runs blocks and keeps what the last one printed."""

    def __init__(self, page: Path, addresses: dict[str, str]) -> None:
        self.page, self.addresses = page, addresses
        self.names: dict[str, Any] = {"__name__": "__page__"}
        self.printed = ""

    def real(self, text: str) -> str:
        for shown, real in self.addresses.items():
            text = text.replace(shown, real)
        return text

    def shown(self, text: str) -> str:
        for shown, real in self.addresses.items():
            text = text.replace(real, shown)
        return text

    def run(self, block: Block) -> None:
        if block.name is not None:
            Path(block.name).parent.mkdir(parents=True, exist_ok=True)
            Path(block.name).write_text(self.real(block.text))
            return
        kinds: dict[str, Callable[[Block], str]] = {
            "python": self.python,
            "sh": self.sh,
            "sql": self.sql,
            "cql": self.cql,
        }
        self.printed = self.shown(kinds[block.kind](block))

    def python(self, block: Block) -> str:
        out = io.StringIO()
        padded = "\n" * (block.line - 1) + self.real(block.text)
        with contextlib.redirect_stdout(out):
            exec(compile(padded, str(self.page), "exec"), self.names)
        return out.getvalue()

    def sh(self, block: Block) -> str:
        python = shlex.quote(sys.executable)
        ours = f'python() {{ {python} "$@"; }}; wattline() {{ {python} -m wattline.cli "$@"; }}\n'
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", ours + self.real(block.text)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"exit code {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def sql(self, block: Block) -> str:
        import psycopg

        with psycopg.connect(os.environ["WATTLINE_TEST_POSTGRES"], autocommit=True) as link:
            return "".join(_rows(link.execute(one)) for one in statements(block.text))

    def cql(self, block: Block) -> str:
        from cassandra.cluster import Cluster

        addresses, _, port = os.environ["WATTLINE_TEST_CASSANDRA"].removeprefix("cassandra://").rpartition(":")
        with Cluster([addresses], port=int(port)) as cluster, cluster.connect() as session:
            made = [session.execute(one) for one in statements(block.text)]
            return "".join(_table(rows.column_names, [list(row) for row in rows]) for rows in made if rows.column_names)


def statements(text: str) -> list[str]:
    return [one.strip() for one in text.split(";") if one.strip()]


def _rows(cursor: Any) -> str:
    return _table([c.name for c in cursor.description], cursor.fetchall()) if cursor.description else ""


def _table(names: list[str], rows: list[Any]) -> str:
    cells = [list(names), *([("" if value is None else str(value)) for value in row] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    return "".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() + "\n" for line in cells)


def check(path: Path, addresses: dict[str, str], write: bool) -> Iterator[str]:
    """Runs the page in the current folder; gives what is wrong, line by line."""
    page = path.read_text()
    runner, fresh, at = Runner(path, addresses), "", 0
    for block in blocks(page):
        if block.kind == "text":
            if not write and not same(block.text, runner.printed):
                yield f"{path.name}:{block.line}: the output is not what the page shows"
                yield from difflib.unified_diff(
                    steady(block.text), steady(runner.printed), "page", "output", lineterm=""
                )
            shown = block.text if same(block.text, runner.printed) else runner.printed
            fresh, at = fresh + page[at : block.span[0]] + shown.rstrip("\n") + "\n", block.span[1]
        elif block.kind == "py":  # another library's, to be read
            compile(block.text, str(path), "exec")
        elif block.kind in ("python", "sh", "sql", "cql", "toml", "csv"):
            runner.run(block)
        else:
            yield f"{path.name}:{block.line}: a block of {block.kind or 'no language'} is run by nothing"
    if write:
        path.write_text(fresh + page[at:])


def addresses() -> dict[str, str]:
    """What a page calls the servers, and where they are: those of docker-compose.yml, and those of the tests."""
    found = {}
    if url := os.environ.get("WATTLINE_TEST_KAFKA"):
        found["localhost:9092"] = url.removeprefix("kafka://")
    if url := os.environ.get("WATTLINE_TEST_CASSANDRA"):
        found["localhost:9042"] = url.removeprefix("cassandra://")
    if url := os.environ.get("WATTLINE_TEST_S3_ENDPOINT"):
        found["localhost:7070"] = url.removeprefix("http://")
    if url := os.environ.get("WATTLINE_TEST_POSTGRES"):
        found["localhost:5432"] = url.rpartition("@")[2].partition("/")[0]
        found["port=5432"] = f"port={found['localhost:5432'].rpartition(':')[2]}"
    return found


def main() -> None:
    wrong = list(check(Path(sys.argv[1]).resolve(), addresses(), "--write" in sys.argv))
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
