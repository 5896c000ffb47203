"""Servers for a person or for a command: ``python -m tests.services up|down|status|run``."""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from .keep import KINDS, USUAL, down, keep, started, status, up
from .watch import ServiceError


def run(kinds: Sequence[str], command: Sequence[str]) -> int:
    """Runs a command with the servers' URLs in its environment; ends them after it."""
    with started(kinds) as servers:
        told = {name: value for server in servers for name, value in server.environment.items()}
        return subprocess.run(command, check=False, env={**os.environ, **told}).returncode


def kinds_of(text: str) -> list[str]:
    kinds = text.split(",")
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise argparse.ArgumentTypeError(f"no server {unknown[0]!r}; there are {', '.join(KINDS)}")
    return kinds


def split(words: list[str]) -> tuple[list[str], list[str]]:
    """What is before ``--`` and what is after."""
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1 :]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.services", description=__doc__)
    parser.add_argument("what", choices=["up", "down", "status", "run", "keep"])
    parser.add_argument("--with", dest="kinds", type=kinds_of, default=list(USUAL), help="postgres,kafka,s3,...")
    words, command = split(sys.argv[1:])
    given = parser.parse_args(words)
    # Told to end, it unwinds as for Ctrl-C: the command and the servers end with it.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if given.what == "run":
        return run(given.kinds, command)
    if given.what == "up":
        return up(given.kinds)
    if given.what == "keep":
        return keep(given.kinds)
    return down() if given.what == "down" else status()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ServiceError as error:
        sys.exit(str(error))
