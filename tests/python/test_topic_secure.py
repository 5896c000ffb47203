"""TLS, SASL/SCRAM and the least privileges, on a broker that asks for them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

import wattline as wl
from test_kafka import QUIET, household
from tests.services import Kafka
from tests.services.kafka import USER

#: What README lists. Who sends: its topic, the topic of progress, its transactional ids.
SENDS = [
    (ResourceType.TOPIC, "power", ["DESCRIBE", "DESCRIBE_CONFIGS", "WRITE"]),
    (ResourceType.TOPIC, "wattline-progress", ["DESCRIBE", "READ", "WRITE"]),
    (ResourceType.TRANSACTIONAL_ID, "wattline-", ["DESCRIBE", "WRITE"]),
]
#: Who reads: the topic; its group where there is one.
READS = [(ResourceType.TOPIC, "power", ["DESCRIBE", "READ"]), (ResourceType.GROUP, "g", ["READ"])]


@pytest.fixture(scope="module")
def secure() -> Iterator[Kafka]:
    with Kafka(acls=True) as server:
        admin = AdminClient({"bootstrap.servers": server.bootstrap, **QUIET})
        compacted = NewTopic("wattline-progress", 1, config={"cleanup.policy": "compact"})
        for made in admin.create_topics([NewTopic("power", 1, config={"retention.ms": "-1"}), compacted]).values():
            made.result()
        yield server


def grant(server: Kafka, lists: list) -> None:
    admin = AdminClient({"bootstrap.servers": server.bootstrap, **QUIET})
    allow = AclPermissionType.ALLOW
    bindings = [
        AclBinding(
            kind,
            name,
            ResourcePatternType.PREFIXED if name.endswith("-") else ResourcePatternType.LITERAL,
            f"User:{USER}",
            "*",
            AclOperation[operation],
            allow,
        )
        for kind, name, operations in lists
        for operation in operations
    ]
    for made in admin.create_acls(bindings).values():
        made.result()


def scram(server: Kafka, password: str = USER) -> wl.Kafka:
    return wl.Kafka(server.scram, "power", user=USER, password=password, ca=str(server.ca), timeout="10s")


def test_least_privileges_suffice_and_less_is_named(secure: Kafka, tmp_path: Path) -> None:
    path = household(tmp_path / "a.txt", 300)
    told = {"schema": "household", "progress": False}
    with pytest.raises(wl.EndpointError, match="grant this user"):
        wl.produce(path, scram(secure), **told)
    p = wl.Pipeline("p", source=scram(secure), schema="household", grains=["1d"], sinks=tmp_path / "o.db")
    with pytest.raises(wl.EndpointError, match="grant this user"):
        p.run(until="now", progress=False)
    grant(secure, READS)
    found = p.check()
    assert found.ok
    unseen = [f.message for f in found if f.level == "warning" and f.at == "source"]
    assert len(unseen) == 1
    assert unseen[0].endswith("grant DescribeConfigs on it")
    grant(secure, SENDS)
    assert wl.produce(path, scram(secure), **told).ledger["readings"] == 300
    assert not any("DescribeConfigs" in f.message for f in p.check())
    assert p.run(until="now", progress=False).ledger["readings"] == 300
    assert len(wl.read_kafka(scram(secure), schema="household")) == 300


def test_a_wrong_password_or_authority_is_named(secure: Kafka, tmp_path: Path) -> None:
    wrong = wl.Pipeline("p", source=scram(secure, "guess"), schema="household", grains=["1d"], sinks=tmp_path / "o.db")
    with pytest.raises(wl.EndpointError, match="check user, password") as told:
        wrong.run(until="now", progress=False)
    assert "guess" not in str(told.value)
    unknown = wl.Kafka(secure.scram, "power", user=USER, password=USER, timeout="5s")
    with pytest.raises(wl.EndpointError, match="check security, ca"):
        wl.read_kafka(unknown, schema="household")


def test_a_client_certificate_opens_the_tls_door(secure: Kafka) -> None:
    folder = secure.certificates
    told = {"security": "ssl", "ca": str(secure.ca), "timeout": "5s"}
    own = {"certificate": str(folder / "client.pem"), "key": str(folder / "client.key")}
    # The certificate's user is nobody the lists know: the door opens, and what is asked for is refused.
    with pytest.raises(wl.EndpointError, match="grant this user"):
        wl.read_kafka(wl.Kafka(secure.mutual_tls, "power", **told, **own), schema="household")
    with pytest.raises(wl.EndpointError, match="check security, ca, certificate"):
        wl.read_kafka(wl.Kafka(secure.mutual_tls, "power", **told), schema="household")
