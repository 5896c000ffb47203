"""A Kafka of the tests answers real clients through each door, loses brokers, and comes back with its messages."""

import logging
import time
import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from tests.services import Kafka
from tests.services.kafka import USER

QUIET = {"logger": logging.getLogger("kafka"), "log_level": 0}


@pytest.fixture(scope="module")
def secure() -> Iterator[Kafka]:
    with Kafka(acls=True) as server:
        yield server


def make_topic(server: Kafka, partitions: int = 1) -> str:
    name = f"t-{uuid.uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": server.bootstrap, **QUIET})
    admin.create_topics([NewTopic(name, partitions)])[name].result()
    return name


def send(settings: dict[str, object], topic: str, values: list[bytes]) -> list[str]:
    """Sends and gives the errors of the delivery reports."""
    errors: list[str] = []
    producer = Producer({"message.timeout.ms": 20_000, "enable.idempotence": True, **QUIET, **settings})
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: errors.append(error.name()) if error else None)
    assert producer.flush(30) == 0
    return errors


def read(server: Kafka, topic: str, count: int) -> list[bytes]:
    reader = Consumer({"bootstrap.servers": server.bootstrap, "group.id": "none", **QUIET})
    reader.assign([TopicPartition(topic, 0, 0)])
    values: list[bytes] = []
    while len(values) < count:
        values += [message.value() for message in reader.consume(count, timeout=20)]
    reader.close()
    return values


def scram(server: Kafka, password: str = USER) -> dict[str, object]:
    return {
        "bootstrap.servers": server.scram,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": USER,
        "sasl.password": password,
        "ssl.ca.location": str(server.ca),
    }


def test_messages_survive_a_crash() -> None:
    with Kafka() as server:
        topic = make_topic(server)
        values = [b"%d" % n for n in range(1000)]
        assert send({"bootstrap.servers": server.bootstrap}, topic, values) == []
        server.kill()
        server.start()
        assert read(server, topic, len(values)) == values


def test_a_frozen_broker_does_not_answer_and_a_thawed_one_does(kafka: Kafka) -> None:
    topic = make_topic(kafka)
    settings = {"bootstrap.servers": kafka.bootstrap}
    kafka.freeze()
    try:
        assert send({**settings, "message.timeout.ms": 1500}, topic, [b"lost"]) == ["_MSG_TIMED_OUT"]
    finally:
        kafka.thaw()
    assert send(settings, topic, [b"kept"]) == []
    assert read(kafka, topic, 1) == [b"kept"]


def test_three_brokers_go_on_without_one() -> None:
    with Kafka(brokers=3) as server:
        topic = make_topic(server)
        settings = {"bootstrap.servers": server.bootstrap}
        assert send(settings, topic, [b"with three"]) == []
        server.nodes[0].kill()
        assert send(settings, topic, [b"with two"]) == []
        server.start()
        assert server.nodes[0].alive
        assert read(server, topic, 2) == [b"with three", b"with two"]


def test_scram_users_may_do_what_lists_grant(secure: Kafka) -> None:
    topic = make_topic(secure)
    # An idempotent producer may be told first that it gets no id.
    settings = {**scram(secure), "enable.idempotence": False}
    assert send(settings, topic, [b"before"]) == ["TOPIC_AUTHORIZATION_FAILED"]
    grant = AclBinding(
        ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, f"User:{USER}", "*", AclOperation.WRITE,
        AclPermissionType.ALLOW,
    )  # fmt: skip
    admin = AdminClient({"bootstrap.servers": secure.bootstrap, **QUIET})
    admin.create_acls([grant])[grant].result()
    until = time.monotonic() + 20
    while send(settings, topic, [b"after"]) != []:
        assert time.monotonic() < until, "the grant never reached the broker"
    assert read(secure, topic, 1) == [b"after"]


def test_a_wrong_password_or_no_certificate_does_not_get_in(secure: Kafka) -> None:
    without = {
        "bootstrap.servers": secure.mutual_tls,
        "security.protocol": "SSL",
        "ssl.ca.location": str(secure.ca),
    }
    certificate = {
        "ssl.certificate.location": str(secure.certificates / "client.pem"),
        "ssl.key.location": str(secure.certificates / "client.key"),
    }
    for settings in (scram(secure, "wrong"), without):
        admin = AdminClient({**settings, **QUIET})
        with pytest.raises(KafkaException):
            admin.list_topics(timeout=2)
    admin = AdminClient({**without, **certificate, **QUIET})
    assert len(admin.list_topics(timeout=20).brokers) == 1
