"""What is downloaded once: jars and binaries by Maven coordinates, kept in the checkout."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from .watch import ServiceError, program, tool

ROOT = Path(__file__).resolve().parents[2]
#: everything the servers leave in the checkout; git ignores it
HOME = Path(os.environ.get("WATTLINE_SERVICES", ROOT / ".services"))
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
SMALL_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
TRIES = 3


@contextmanager
def locked(name: str) -> Iterator[Path]:
    """The folder ``name`` of the cache, for one process at a time."""
    folder = HOME / "cache" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def element(name: str, *content: str) -> str:
    return f"<{name}>{''.join(content)}</{name}>"


def artifact(coordinates: str) -> str:
    """``group:name`` or ``group:name:version`` as elements of a project file."""
    parts = zip(("groupId", "artifactId", "version"), coordinates.split(":"), strict=False)
    return "".join(element(name, value) for name, value in parts)


def project(wanted: Mapping[str, Sequence[str]]) -> str:
    """A Maven project that depends on the coordinates, each without the packages listed for it."""
    dependencies = []
    for one, without in wanted.items():
        exclusions = element("exclusions", *(element("exclusion", artifact(other)) for other in without))
        dependencies.append(element("dependency", artifact(one), exclusions))
    head = (element("modelVersion", "4.0.0"), artifact("tests:services:1"), element("packaging", "pom"))
    return element("project", *head, element("dependencies", *dependencies))


def download(wanted: Mapping[str, Sequence[str]], target: Path) -> None:
    """Copies the packages and all they need into ``target``; Maven's own settings say from where."""
    options = " ".join((*SMALL_JVM, os.environ.get("MAVEN_OPTS", "")))
    with tempfile.TemporaryDirectory() as folder:
        pom = Path(folder, "pom.xml")
        pom.write_text(project(wanted))
        command = [program("mvn", "maven"), "-B", "-q", "-f", pom, "-Dmaven.artifact.threads=16", PLUGIN]
        command += ["-DincludeScope=runtime", f"-DoutputDirectory={target}"]
        for left in reversed(range(TRIES)):
            try:
                tool(command, environment={**os.environ, "MAVEN_OPTS": options})
                return
            except ServiceError as error:
                if not left:
                    raise ServiceError(f"{', '.join(wanted)} cannot be downloaded by Maven: {error}") from error


def packages(name: str, wanted: Mapping[str, Sequence[str]], finish: Callable[[Path], object] | None = None) -> Path:
    """The folder with the packages, downloaded and finished by whoever comes first."""
    with locked(name) as folder:
        if not folder.exists():
            part = folder.with_name(f"{name}.part")
            shutil.rmtree(part, ignore_errors=True)
            download(wanted, part)
            if finish:
                finish(part)
            part.rename(folder)
    return folder
