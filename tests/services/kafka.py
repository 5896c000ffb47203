"""A real Apache Kafka (KRaft): one broker or several, on request with TLS, SASL/SCRAM and access lists."""

import base64
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from . import tls
from .cache import locked, packages
from .java import archive, command
from .kafka_settings import BROKER, LOGGING, VERSION, WANTED, doors, replication, security
from .process import Process
from .server import Server
from .watch import tool

CLUSTER = "d2F0dGxpbmUtc2VydmljZQ"
#: user and password of the SCRAM door
USER = "wattline"


def write(path: Path, properties: Mapping[str, object]) -> Path:
    path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    return path


def jars() -> Path:
    return packages(f"kafka-{VERSION}", WANTED, lambda folder: (folder / "log4j2.properties").write_text(LOGGING))


def checkpoint() -> Path:
    """The first records of a new cluster, the SCRAM user among them, as Kafka's own tool writes them; made once."""
    libs = jars()
    with locked(f"kafka-{VERSION}.checkpoint") as path, tempfile.TemporaryDirectory() as folder:
        if not path.exists():
            ports = {"PLAIN": 1, "CONTROLLER": 2}
            voters = {"node.id": 1, "controller.quorum.voters": "1@127.0.0.1:2", "log.dirs": f"{folder}/log"}
            config = write(Path(folder, "properties"), {**BROKER, **doors(ports), **voters})
            user = f"SCRAM-SHA-512=[name={USER},password={USER}]"
            words = ("format", "-t", CLUSTER, "-c", config, "--add-scram", user)
            flags = ("-Xmx64m", f"-Dlog4j2.configurationFile={libs / 'log4j2.properties'}")
            tool(command(libs, flags, "kafka.tools.StorageTool", *words))
            shutil.copy(Path(folder, "log/bootstrap.checkpoint"), path)
    return path


def train(flag: str) -> None:
    with Kafka(jvm=("-Xmx128m", flag), trained=False) as server:
        server.stop(120)


def answers(process: Process) -> bool:
    return "Kafka Server started" in process.said()


class Kafka(Server):
    """Brokers on loopback ports; ``bootstrap`` and ``url`` are the plain door, that of the administrator."""

    kind = "kafka"

    def __init__(
        self,
        brokers: int = 1,
        *,
        secure: bool = False,
        acls: bool = False,
        properties: Mapping[str, object] | None = None,
        jvm: tuple[str, ...] = ("-Xmx128m",),
        trained: bool = True,
    ) -> None:
        """``secure`` adds the doors ``scram`` and ``mutual_tls``; with ``acls`` their users may do what lists grant.

        ``properties`` are added to each broker's. For figures: ``jvm=("-Xms1g", "-Xmx1g", "-XX:TieredStopAtLevel=4")``.
        """
        super().__init__()
        self.libs = jars()
        self.first_records = checkpoint()
        names = ("PLAIN", "CONTROLLER", *(("SCRAM", "TLS") if secure or acls else ()))
        self.doors = [{name: self.ports.take() for name in names} for _ in range(brokers)]
        self.certificates = tls.make(self.folder)
        self.common = {
            **BROKER,
            **replication(brokers),
            "controller.quorum.voters": self._voters(),
            **(security(self.certificates, acls) if secure or acls else {}),
            **(properties or {}),
        }
        share = archive(self.libs, train) if trained else ()
        self.nodes = [self._node(index + 1, (*jvm, *share)) for index in range(brokers)]

    def _voters(self) -> str:
        return ",".join(f"{n}@127.0.0.1:{ports['CONTROLLER']}" for n, ports in enumerate(self.doors, 1))

    def _node(self, number: int, jvm: tuple[str, ...]) -> Process:
        folder = self.folder / f"broker{number}"
        folder.mkdir()
        log_dirs = str(self.common.get("log.dirs", folder / "log"))
        own = {"node.id": number, **doors(self.doors[number - 1]), "log.dirs": log_dirs}
        config = write(folder / "server.properties", {**self.common, **own})
        for path in map(Path, log_dirs.split(",")):
            self._format(path, number)
        flags = (*jvm, f"-Dlog4j2.configurationFile={self.libs / 'log4j2.properties'}")
        return Process(f"broker{number}", command(self.libs, flags, "kafka.Kafka", config), folder, answers)

    def _format(self, path: Path, number: int) -> None:
        """What StorageTool would do, without a Java machine for it."""
        path.mkdir(parents=True)
        identity = "A" + base64.urlsafe_b64encode(os.urandom(16)).decode()[1:22]
        write(
            path / "meta.properties",
            {"version": 1, "cluster.id": CLUSTER, "node.id": number, "directory.id": identity},
        )
        shutil.copy(self.first_records, path / "bootstrap.checkpoint")

    def _servers(self, door: str) -> str:
        host = "127.0.0.1" if door == "PLAIN" else "localhost"
        return ",".join(f"{host}:{ports[door]}" for ports in self.doors)

    @property
    def bootstrap(self) -> str:
        return self._servers("PLAIN")

    @property
    def url(self) -> str:
        return f"kafka://{self.bootstrap}"

    @property
    def scram(self) -> str:
        """The door for ``USER`` with SASL_SSL and SCRAM-SHA-512; the authority is ``ca``."""
        return self._servers("SCRAM")

    @property
    def mutual_tls(self) -> str:
        """The door that wants ``certificates / client.pem`` and ``client.key``."""
        return self._servers("TLS")

    @property
    def ca(self) -> Path:
        return self.certificates / "ca.pem"
