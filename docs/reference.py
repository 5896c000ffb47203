"""Writes reference.md and shell.md from docstrings, stubs and flags; ``--check`` says whether they are current."""

from __future__ import annotations

import ast
import sys
import textwrap
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
PACKAGE = DOCS.parent / "python/wattline"
NOTE = "<!-- Written by docs/reference.py (`make reference`) from the code: change it there. -->\n"
#: What a person looks for first.
ORDER = ["reading", "schema", "table", "source", "window", "kafka", "pipeline", "options", "endpoint", "sink"]
ORDER += ["report", "ledger", "state", "page", "plot", "watch", "errors"]
TITLES = {
    "reading": "Reading files",
    "table": "Tables and schemas",
    "source": "The simulator",
    "window": "Windows",
    "kafka": "Topics",
    "pipeline": "Pipelines",
    "endpoint": "Endpoints: where rows go",
    "sink": "Sinks: what goes there",
    "report": "Reports",
    "ledger": "The ledger",
    "state": "Findings and state",
    "page": "The report page",
    "plot": "Charts for notebooks, in `wl.plot`",
    "watch": "A running stream in a notebook",
    "errors": "Errors",
}

#: A bar within a table.
BAR = "\\|"

Named = ast.ClassDef | ast.FunctionDef


def parsed(path: Path) -> dict[str, Named]:
    """Classes and functions of a file."""
    return {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, Named)}


def rooms() -> dict[str, list[str]]:
    """Public names by room, as the package's own table says."""
    for node in ast.parse((PACKAGE / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "_ROOMS":
            found: dict[str, list[str]] = ast.literal_eval(node.value)
            native = {"table": ["Table", "Schema", "Reader"]}
            charts = {"plot": [name for name in parsed(source("plot")) if not name.startswith("_")]}
            return {**native, **{room: names for room, names in found.items() if room != "_native"}, **charts}
    raise SystemExit("python/wattline/__init__.py has no _ROOMS")


def source(room: str) -> Path:
    """The file of a room."""
    if room == "table":
        return PACKAGE / "_native.pyi"
    folder = PACKAGE / room / "__init__.py"
    return folder if folder.exists() else PACKAGE / f"{room}.py"


def docstring(node: Named) -> str:
    """The docstring as Markdown."""
    return (ast.get_docstring(node) or "").replace("``", "`")


def signature(node: ast.FunctionDef, name: str) -> str:
    """A call as it is written: one argument a line where they do not fit into one."""
    args = node.args
    positional = [*args.posonlyargs, *args.args]
    bare = len(positional) - len(args.defaults)
    told = [_argument(a, args.defaults[i - bare] if i >= bare else None) for i, a in enumerate(positional)]
    told = told[1:] if positional and positional[0].arg in ("self", "cls") else told
    if args.vararg:
        told.append(f"*{args.vararg.arg}")
    elif args.kwonlyargs:
        told.append("*")
    told += [_argument(a, d) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    if args.kwarg:
        told.append(f"**{args.kwarg.arg}")
    back = f" -> {ast.unparse(node.returns)}" if node.returns and name == node.name else ""
    short = f"{name}({', '.join(told)}){back}"
    inner = ",\n    ".join(told)
    return short if len(short) <= 100 else f"{name}(\n    {inner},\n){back}"


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    kind = f": {ast.unparse(argument.annotation)}" if argument.annotation else ""
    return argument.arg + kind + (f" = {ast.unparse(default)}" if default is not None else "")


def methods(node: ast.ClassDef) -> list[ast.FunctionDef]:
    """Public methods and properties with a docstring."""
    inner = [part for part in node.body if isinstance(part, ast.FunctionDef)]
    return [part for part in inner if not part.name.startswith("_") and ast.get_docstring(part)]


def entry(node: Named) -> str:
    """One name: how it is called, what it says, what it has."""
    if isinstance(node, ast.FunctionDef):
        return f"### `{node.name}`\n\n```py\n{signature(node, node.name)}\n```\n\n{docstring(node)}\n"
    made = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name in ("__init__", "__new__")]
    parts = [f"### `{node.name}`\n"]
    if made and not node.name.endswith("Error"):
        parts.append(f"```py\n{signature(made[0], node.name)}\n```\n")
    parts.append(docstring(node) + "\n")
    parts += [_member(part) for part in methods(node)]
    return "\n".join(parts)


def _member(node: ast.FunctionDef) -> str:
    plain = any(isinstance(d, ast.Name) and d.id == "property" for d in node.decorator_list)
    call = node.name if plain else signature(node, node.name)
    fence = f"`.{call}`" if "\n" not in call else f"```py\n.{call}\n```\n"
    return f"- {fence}: {docstring(node)}".replace("\n", "\n  ") + "\n"


def options() -> str:
    """What `windows` and `Pipeline` are told, with the flag of each."""
    rows = ["| option | type | flag | what |", "|---|---|---|---|"]
    found = parsed(PACKAGE / "options.py")
    flags = _flags()
    for name in ("WindowOptions", "PipelineOptions"):
        for part in found[name].body:
            if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                kind = ast.unparse(part.annotation).replace("|", BAR)
                flag, said = flags.get(part.target.id, ("", ""))
                rows.append(f"| `{part.target.id}` | `{kind}` | {flag} | {said} |")
    return "\n".join(rows)


def _flags() -> dict[str, tuple[str, str]]:
    tree = ast.parse((PACKAGE / "cli/flags.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "FLAGS":
            assert isinstance(node.value, ast.Dict)
            return {
                ast.literal_eval(key): _flag(ast.literal_eval(key), value)
                for key, value in zip(node.value.keys, node.value.values, strict=True)
                if key is not None
            }
    raise SystemExit("cli/flags.py has no FLAGS")


def _flag(name: str, value: ast.expr) -> tuple[str, str]:
    assert isinstance(value, ast.Tuple)
    flag = ast.literal_eval(value.elts[1]) or "--" + name.replace("_", "-")
    return f"`{flag}`", ast.literal_eval(value.elts[2]).replace("|", BAR)


def reference() -> str:
    """The page of the Python package."""
    found = rooms()
    order = [room for room in ORDER if room in found] + sorted(set(found) - set(ORDER))
    parts = ["# Reference: Python\n", NOTE, "`import wattline as wl`; every name below is one of `wl`.\n"]
    for room in order:
        file = parsed(source(room))
        entries = [entry(file[name]) for name in found[room] if name in file]
        if entries:
            parts += [f"## {TITLES.get(room, room.capitalize())}\n", *entries]
        if room == "pipeline":
            parts.append(f"### Options\n\nOf `windows` and `Pipeline`, in TOML by the same names.\n\n{options()}\n")
    return "\n".join(parts)


def shell() -> str:
    """The page of the command: every command with its arguments and flags."""
    import typer.main

    from wattline.cli import app

    group: Any = typer.main.get_command(app)
    parts = ["# Reference: the command\n", NOTE, _told(group.help)]
    for name, command in group.commands.items():
        parts += [f"## `wattline {name}`\n", _told(command.help), _parameters(command.params)]
    return "\n".join(parts)


def _told(text: str) -> str:
    """Help as Markdown; examples, which begin with the command, as code."""
    shown: list[str] = []
    for line in textwrap.dedent(text or "").replace("\b\n", "").splitlines():
        shown.append(f"    {line.strip()}" if line.strip().startswith("wattline ") else line)
    return "\n".join(shown).strip() + "\n"


def _parameters(found: list[Any]) -> str:
    rows = ["| argument or flag | what |", "|---|---|"]
    for one in found:
        flag = one.param_type_name == "option"
        names = ", ".join(f"`{word}`" for word in [*one.opts, *one.secondary_opts]) if flag else f"`{one.name}`"
        rows.append(f"| {names} | {(one.help or '').replace('|', BAR)} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Writes the pages, or compares them."""
    made = {DOCS / "reference.md": reference(), DOCS / "shell.md": shell()}
    stale = [path.name for path, text in made.items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        sys.exit(f"docs/{', docs/'.join(stale)}: not current; run: make reference" if stale else 0)
    for path, text in made.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
