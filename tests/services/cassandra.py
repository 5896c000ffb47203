"""A real Apache Cassandra: one node or several, on request with passwords and TLS."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from . import tls
from .cache import packages
from .cassandra_settings import EXPORTS, LOGGING, OPENS, PROPERTIES, SETTINGS, UNUSED, VERSION
from .cql import peers
from .java import archive, command
from .process import Process
from .server import Server

#: the first user, also its password
USER = "cassandra"


def jars() -> Path:
    wanted = {f"org.apache.cassandra:cassandra-all:{VERSION}": UNUSED}
    return packages(f"cassandra-{VERSION}", wanted, lambda folder: (folder / "logback.xml").write_text(LOGGING))


def machine(libs: Path, heap: int) -> tuple[str, ...]:
    """The flags of every node's Java machine."""
    modules = [("--add-exports", EXPORTS), ("--add-opens", OPENS)]
    return (
        *("-Xms64M", f"-Xmx{heap}M", "-Xss256k", "-XX:+ExitOnOutOfMemoryError", "-XX:+PerfDisableSharedMem"),
        "-Djdk.attach.allowAttachSelf=true",
        *(f"{flag}={name}=ALL-UNNAMED" for flag, names in modules for name in names),
        *(f"-D{name}={value}" for name, value in PROPERTIES.items()),
        f"-Dlogback.configurationFile={(libs / 'logback.xml').as_uri()}",
    )


def train(flag: str) -> None:
    with Cassandra(jvm=(flag,), trained=False) as server:
        server.stop(120)


class Cassandra(Server):
    """Nodes at 127.0.0.1, .2, .3 with one port, since drivers are told of peers by address alone."""

    kind = "cassandra"

    def __init__(
        self,
        nodes: int = 1,
        *,
        auth: bool = False,
        encrypted: bool = False,
        settings: Mapping[str, object] | None = None,
        heap: int | None = None,
        jvm: tuple[str, ...] = (),
        trained: bool = True,
    ) -> None:
        """``auth`` asks for a password (``cassandra``, ``cassandra``), ``encrypted`` for TLS; ``heap`` in MiB.

        ``settings`` are those of cassandra.yaml. For figures: ``heap=2048, jvm=("-XX:TieredStopAtLevel=4",
        "-Dcassandra.skip_sync=false")``, and many rows before the first figure.
        """
        super().__init__()
        self.libs = jars()
        self.heap = heap or (512 if nodes == 1 else 256)
        self.addresses = tuple(f"127.0.0.{last}" for last in range(1, nodes + 1))
        self.port, self.storage_port = self.ports.take(self.addresses), self.ports.take(self.addresses)
        self.auth, self.encrypted = auth, encrypted
        self.certificates = tls.make(self.folder)
        self.common = {**SETTINGS, **self._shared(), **(settings or {})}
        # An agent that measures objects; a machine that writes an archive cannot have it.
        agent = [f"-javaagent:{path}" for path in self.libs.glob("jamm-*.jar")]
        share = (*agent, *archive(self.libs, train)) if trained else ()
        self.nodes = [self._node(index, (*jvm, *share)) for index in range(nodes)]

    def _shared(self) -> dict[str, object]:
        """What all nodes of the cluster are told."""
        seeds = ",".join(f"{address}:{self.storage_port}" for address in self.addresses)
        provider = {"class_name": "org.apache.cassandra.locator.SimpleSeedProvider", "parameters": [{"seeds": seeds}]}
        return {
            "seed_provider": [provider],
            "storage_port": self.storage_port,
            "native_transport_port": self.port,
            "memtable_heap_space": f"{self.heap // 4}MiB",
            "authenticator": "PasswordAuthenticator" if self.auth else "AllowAllAuthenticator",
            "authorizer": "CassandraAuthorizer" if self.auth else "AllowAllAuthorizer",
            "client_encryption_options": {
                "enabled": self.encrypted,
                "keystore": str(self.certificates / "server.p12"),
                "keystore_password": tls.PASSWORD,
                "store_type": "PKCS12",
            },
        }

    def _node(self, index: int, jvm: tuple[str, ...]) -> Process:
        address, name = self.addresses[index], f"node{index + 1}"
        folder = self.folder / name
        folder.mkdir()
        places = ("commitlog", "saved_caches", "hints", "cdc_raw")
        own = {
            "listen_address": address,
            "rpc_address": address,
            # An even ring from the start: nodes need not wait for each other.
            "initial_token": str(-(2**63) + 1 + index * (2**64 // len(self.addresses))),
            "data_file_directories": [str(folder / "data")],
            **{f"{place}_directory": str(folder / place) for place in places},
        }
        config = folder / "cassandra.yaml"
        config.write_text(json.dumps({**self.common, **own}, indent=1))
        flags = (
            *machine(self.libs, self.heap),
            f"-Dcassandra.config={config.as_uri()}",
            f"-Dcassandra.storagedir={folder}",
            f"-Dcassandra.logdir={folder}",
            f"-Dcassandra.system_auth.default_rf={len(self.addresses)}",
            *jvm,
        )
        line = command(self.libs, flags, "org.apache.cassandra.service.CassandraDaemon")
        return Process(name, line, folder, partial(self._answers, index))

    def _answers(self, index: int, process: Process) -> bool:
        """Takes a login, sees every other node that runs, has it in its ring: else a quorum fails at first."""
        said = process.said()
        others = [address for address, node in zip(self.addresses, self.nodes, strict=True) if node.alive]
        others = [address for address in others if address != self.addresses[index]]
        if not all(f"{address}:{self.storage_port} is now UP" in said for address in others):
            return False
        known = peers(self.addresses[index], self.port, USER, USER, self.ca if self.encrypted else None)
        return known is not None and known >= len(others)

    @property
    def url(self) -> str:
        login = f"{USER}:{USER}@" if self.auth else ""
        return f"cassandra://{login}" + ",".join(f"{address}:{self.port}" for address in self.addresses)

    @property
    def ca(self) -> Path:
        return self.certificates / "ca.pem"
