"""Starts a server's process so that it cannot outlive the one that wanted it."""

import atexit
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
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


class Process:
    """One server process: begun, killed, frozen, begun again on the same data."""

    def __init__(
        self,
        name: str,
        command: Sequence[object],
        folder: Path,
        answers: Callable[["Process"], bool],
        *,
        stop_signal: int = signal.SIGTERM,
        last_signal: int = signal.SIGKILL,
    ) -> None:
        """``stop_signal`` asks for an orderly end, ``last_signal`` for a quick one that leaves nothing behind."""
        self.name = name
        self.command = [str(part) for part in command]
        self.folder = folder
        self.log = folder / f"{name}.log"
        self.answers = answers
        self.stop_signal, self.last_signal = stop_signal, last_signal
        self._child: subprocess.Popen[bytes] | None = None
        self._log_from = 0

    @property
    def pid(self) -> int:
        if self._child is None:
            raise ServiceError(f"{self.name} was not started")
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def said(self) -> str:
        """What the log has since the last start."""
        with self.log.open("rb") as log:
            log.seek(self._log_from)
            return log.read().decode(errors="replace")

    def begin(self) -> None:
        """Starts the process unless it runs; does not wait until it answers."""
        if self.alive:
            return
        self._log_from = self.log.stat().st_size if self.log.exists() else 0
        # The shell waits until the guard knows its id: at no moment can a kill leave the server behind.
        held = ["/bin/sh", "-c", 'read -r go && exec "$@"', self.name, *self.command]
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                held, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        self._child = child
        WATCH.tell(f"process {child.pid} {int(self.last_signal)}")
        assert child.stdin is not None
        with child.stdin as gate:
            gate.write(b"go\n")

    def wait(self, seconds: float = 120) -> None:
        """Waits until the server answers."""
        end = time.monotonic() + seconds
        while not self.answers(self):
            if not self.alive or time.monotonic() > end:
                why = "does not answer" if self.alive else "ended"
                last = "\n".join(self.said().splitlines()[-20:])
                raise ServiceError(f"{self.name} {why}; its log {self.log} ends with:\n{last}")
            time.sleep(0.03)

    def start(self) -> None:
        """Starts the process on the data it had, and waits until it answers."""
        self.begin()
        self.wait()

    def signal(self, number: int, *, children: bool = True) -> None:
        guard.send(guard.family(self.pid) if children else [self.pid], number)

    def kill(self, *, children: bool = True) -> None:
        """SIGKILL, also to the processes below it; returns when they are gone."""
        if self.alive:
            members = guard.family(self.pid) if children else [self.pid]
            guard.send(members, signal.SIGKILL)
            guard.wait_gone(members, 30)
        self._reap()

    def stop(self, seconds: float = 30) -> None:
        """Asks for an orderly end; kills when that takes too long."""
        if self.alive:
            members = guard.family(self.pid)
            guard.send(members, signal.SIGCONT)
            guard.send([self.pid], self.stop_signal)
            if not guard.wait_gone(members, seconds):
                self.kill()
        self._reap()

    def end(self) -> None:
        """Ends the process for good, quickly."""
        if self.alive:
            guard.end(self.pid, self.last_signal)
        self._reap()

    def _reap(self) -> None:
        if self._child is not None:
            self._child.wait()
            WATCH.tell(f"forget {self._child.pid}")

    def freeze(self) -> None:
        """SIGSTOP: the server keeps its connections and answers nothing."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)
