"""Small, fast-starting Java machines."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from .cache import HOME, SMALL_JVM, locked
from .watch import ServiceError


def is_17(program: Path) -> bool:
    """Whether a ``java`` is of the release that Kafka and Cassandra both take."""
    release = program.resolve().parents[1] / "release"
    return release.exists() and 'JAVA_VERSION="17' in release.read_text()


def java() -> Path:
    """Java 17: the one asked for, the one in the path, or one of the system's."""
    asked, in_path = os.environ.get("JAVA_HOME"), shutil.which("java")
    own = sorted(Path("/usr/lib/jvm").glob("*/bin/java"))
    for path in (asked and Path(asked, "bin/java"), in_path and Path(in_path), *own):
        if path and path.exists() and is_17(path):
            return path
    raise ServiceError("Java 17 is not installed (Debian: openjdk-17-jre-headless); `make system` installs it")


def classpath(folder: Path) -> str:
    """All jars of a folder by name: an archive of classes holds for the same list in the same order only."""
    return ":".join(map(str, sorted(folder.glob("*.jar"))))


def archive(folder: Path, train: Callable[[str], None]) -> tuple[str, ...]:
    """The flags that start with the loaded classes of an earlier run, which makes a start two to three times faster.

    ``train`` makes that earlier run, once: it is given the flag that writes the archive when the machine ends.
    """
    name = f"{folder.name}.jsa"
    with locked(name) as path:
        if not path.exists():
            part = HOME / "cache" / f"{name}.part"
            train(f"-XX:ArchiveClassesAtExit={part}")
            if not part.exists():  # the machine was killed: a start without is only slower
                return ()
            part.rename(path)
    return (f"-XX:SharedArchiveFile={path}", "-Xshare:auto")


def command(folder: Path, flags: tuple[str, ...], main: str, *arguments: object) -> list[object]:
    """Runs the class ``main`` of a folder of jars; later flags win."""
    return [java(), *SMALL_JVM, *flags, "-cp", classpath(folder), main, *arguments]
