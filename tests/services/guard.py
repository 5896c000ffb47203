"""Ends processes and removes folders whose owner is gone.

Run as a program it reads lines from its standard input, ``process PID SIGNAL``, ``folder PATH``, ``forget PATH`` and
``forget PID``, until the input ends or its parent is another: then the owner has ended, however that happened, and
what it left is ended and removed here. A SIGKILL of the owner leaves no other way to do it.
"""

import os
import select
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

PATIENCE_S = 5.0


def fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def born(pid: int) -> str:
    """When a process began, in ticks: tells it from a later one with the same id."""
    return (fields(pid) or [""] * 20)[19]


def running(pid: int) -> bool:
    return (fields(pid) or ["Z"])[0] not in "ZX"


def family(pid: int) -> list[int]:
    """A process and all below it, parents first."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (found := fields(int(entry))):
            parents.setdefault(int(found[1]), []).append(int(entry))
    found_all = [pid]
    for member in found_all:
        found_all.extend(parents.get(member, []))
    return found_all


def send(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_gone(pids: list[int], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while any(map(running, pids)):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def end(pid: int, number: int) -> None:
    """Ends a process and all below it: by ``number``, and by SIGKILL what that does not end."""
    members = family(pid)
    send(members, signal.SIGCONT)
    send([pid], number)
    if number == signal.SIGKILL or not wait_gone(members, PATIENCE_S):
        send(members, signal.SIGKILL)
        wait_gone(members, PATIENCE_S)


def remove(folder: Path) -> None:
    """Removes a server's folder, and the shared memory that a killed PostgreSQL left behind."""
    for note in folder.glob("data/postmaster.pid"):
        memory = note.read_text().splitlines()[6:7]
        if memory:
            with suppress(OSError):
                subprocess.run(["ipcrm", "-m", memory[0].split()[1]], check=False, stderr=subprocess.DEVNULL)
    shutil.rmtree(folder, ignore_errors=True)


def listen() -> tuple[dict[str, tuple[str, int]], list[str]]:
    """What the owner has told by the time it is gone: processes with birth and last signal, folders."""
    processes: dict[str, tuple[str, int]] = {}
    folders: list[str] = []
    owner, rest = os.getppid(), b""
    while os.getppid() == owner:
        if not select.select([0], [], [], 0.5)[0]:
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            break
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            word, _, value = line.decode().partition(" ")
            if word == "process":
                pid, number = value.split()
                processes[pid] = (born(int(pid)), int(number))
            elif word == "folder":
                folders.append(value)
            else:
                processes.pop(value, None)
                folders = [folder for folder in folders if folder != value]
    return processes, folders


def main() -> None:
    for deaf in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(deaf, signal.SIG_IGN)
    processes, folders = listen()
    for pid, (birth, number) in processes.items():
        if birth and born(int(pid)) == birth:
            end(int(pid), number)
    for folder in folders:
        remove(Path(folder))


if __name__ == "__main__":
    main()
