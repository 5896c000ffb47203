"""Starts a server's process so that it cannot outlive the one that wanted it."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import guard
from .watch import WATCH, ServiceError


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
        self._orphans: dict[int, str] = {}

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

    def kill(self, *, children: bool = True) -> None:
        """SIGKILL, also to the processes below it; returns when they are gone."""
        if self.alive:
            first, *below = guard.family(self.pid)
            members = [first, *below] if children else [first]
            guard.send(members, signal.SIGKILL)
            self._let_go([] if children else below)
            guard.wait_gone(members, 30)
        self._reap()

    def _let_go(self, orphans: list[int]) -> None:
        """Processes that go on by themselves; they end with this one's ``end``, or by the guard."""
        for pid in orphans:
            self._orphans[pid] = guard.born(pid)
            WATCH.tell(f"process {pid} {int(signal.SIGKILL)}")

    def stop(self, seconds: float = 30) -> None:
        """Asks for an orderly end; kills when that takes too long."""
        if self.alive:
            members = guard.family(self.pid)
            self.ask()
            if not guard.wait_gone(members, seconds):
                self.kill()
        self._reap()

    def ask(self) -> None:
        """Asks for an orderly end, and does not wait for it."""
        self.thaw()
        guard.send([self.pid], self.stop_signal)

    def end(self) -> None:
        """Ends the process for good, quickly, and what it left."""
        if self.alive:
            guard.end(self.pid, self.last_signal)
        for pid, birth in self._orphans.items():
            if birth and guard.born(pid) == birth:
                guard.end(pid, signal.SIGKILL)
        self._reap()

    def _reap(self) -> None:
        if self._child is not None:
            self._child.wait()
            WATCH.tell(f"forget {self._child.pid}")

    def freeze(self) -> None:
        """SIGSTOP: the server keeps its connections and answers nothing."""
        guard.send(guard.family(self.pid), signal.SIGSTOP)

    def thaw(self) -> None:
        guard.send(guard.family(self.pid), signal.SIGCONT)
