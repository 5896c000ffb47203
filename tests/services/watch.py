"""Ties what this process starts to its own life: the guard's side that tells, tools and folders under its eyes."""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from . import guard


class ServiceError(Exception):
    """A server that cannot be had: what is missing or what its log says."""


class Guard:
    """The watching process of this one; begun with the first server."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._lock = threading.Lock()

    def tell(self, line: str) -> None:
        with self._lock:
            # A process forked off this one has its own guard.
            if self._process is None or self._owner != os.getpid():
                command = [sys.executable, "-I", guard.__file__]
                self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
                self._owner = os.getpid()
                atexit.register(self.close)
            pipe = self._process.stdin
            assert pipe is not None
            pipe.write(f"{line}\n".encode())
            pipe.flush()

    def close(self) -> None:
        """Has everything that is left ended, and waits for it."""
        if self._process is not None and self._owner == os.getpid():
            self._process.communicate()
            self._process = None


WATCH = Guard()


def make_folder(kind: str) -> Path:
    """A new temporary folder that the guard removes if nobody else does."""
    folder = Path(tempfile.mkdtemp(prefix=f"wattline-{kind}-"))
    WATCH.tell(f"folder {folder}")
    folder.chmod(0o755)
    return folder


def remove_folder(folder: Path) -> None:
    guard.remove(folder)
    WATCH.tell(f"forget {folder}")


def program(name: str, package: str) -> str:
    """The path of a program the machine must have."""
    found = shutil.which(name)
    if found is None:
        raise ServiceError(f"{name} is not installed (Debian: {package}); `make system` installs it")
    return found


def tool(
    command: Sequence[object], *, text: str = "", folder: Path | None = None, environment: dict[str, str] | None = None
) -> str:
    """Runs a program to its end, guarded like the servers; gives what it said, or an error with it."""
    child = subprocess.Popen(
        list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=folder, env=environment,
    )  # fmt: skip
    WATCH.tell(f"process {child.pid} {int(signal.SIGKILL)}")
    said, _ = child.communicate(text)
    WATCH.tell(f"forget {child.pid}")
    if child.returncode:
        raise ServiceError(f"{command[0]} failed:\n{said[-2000:]}")
    return said
