"""The clients of stores without wattline: the Rust program in benches/bare, built with the features of the wheel."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa

TOP = Path(__file__).resolve().parent.parent
FEATURES = "python,kafka,postgres,cassandra,cloud"


def built() -> Path:
    """Builds the program if a source changed; minutes the first time, where the wheel was not built here."""
    build = ["cargo", "build", "--release", "--quiet", "--bench", "bare", "--features", FEATURES]
    done = subprocess.run([*build, "--message-format", "json"], cwd=TOP, check=True, stdout=subprocess.PIPE, text=True)
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return next(Path(m["executable"]) for m in said if m.get("executable") and m["target"]["name"] == "bare")


def seconds(program: Path, *what: object) -> float:
    """What the writing took."""
    done = subprocess.run([program, *map(str, what)], check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def keep(rows: Any, file: Path) -> Path:
    """Writes rows of plain columns for the program to read."""
    table = pa.table(rows)
    plain = [f if pa.types.is_primitive(f.type) else pa.field(f.name, pa.string()) for f in table.schema]
    table = table.cast(pa.schema(plain)).combine_chunks()
    with pa.ipc.new_file(file, table.schema) as out:
        out.write_table(table)
    return file
