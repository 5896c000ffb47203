"""What a small Kafka is made of and told: packages, logging, the properties of a broker."""

from collections.abc import Mapping
from pathlib import Path

VERSION = "4.3.1"  # 4.4.0 is not complete among the packages
WANTED = {
    f"org.apache.kafka:kafka_2.13:{VERSION}": ["org.scala-lang:scala-reflect"],
    # StorageTool, without Connect and what only Connect needs.
    f"org.apache.kafka:kafka-tools:{VERSION}": [
        "org.apache.kafka:connect-runtime",
        "com.fasterxml.jackson.jakarta.rs:*",
    ],
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4": [],
}
LOGGING = """status=error
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %c: %m%n
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
"""
# Small and quick. A broker killed is refused by the controller until its session ends, hence the short sessions.
# The cleaner takes 128 MB at its default; a group's first join would wait three seconds.
BROKER = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAIN",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": 0,
    "offsets.topic.num.partitions": 1,
    "transaction.state.log.num.partitions": 1,
    "log.cleaner.dedupe.buffer.size": 4 << 20,
    "log.cleaner.io.buffer.size": 256 << 10,
    "num.network.threads": 2,
    "num.io.threads": 4,
}


def replication(brokers: int) -> dict[str, object]:
    """What depends on the number of brokers: with three, one may be lost."""
    copies, needed = min(brokers, 3), min(brokers, 2)
    return {
        "broker.session.timeout.ms": 1500 if brokers == 1 else 3000,
        "broker.heartbeat.interval.ms": 300 if brokers == 1 else 500,
        "default.replication.factor": copies,
        "min.insync.replicas": needed,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": needed,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": needed,
    }


def doors(ports: Mapping[str, int]) -> dict[str, object]:
    """The listeners: PLAIN, CONTROLLER, and on request SCRAM (over TLS) and TLS (with a client certificate)."""
    secure = {"SCRAM": "SASL_SSL", "TLS": "SSL"}
    # Certificates hold both names; a client that checks them shows that with the name.
    hosts = {door: "localhost" if door in secure else "127.0.0.1" for door in ports}
    return {
        "listeners": ",".join(f"{door}://127.0.0.1:{port}" for door, port in ports.items()),
        "advertised.listeners": ",".join(
            f"{door}://{hosts[door]}:{port}" for door, port in ports.items() if door != "CONTROLLER"
        ),
        "listener.security.protocol.map": ",".join(f"{door}:{secure.get(door, 'PLAINTEXT')}" for door in ports),
    }


def security(certificates: Path, acls: bool) -> dict[str, object]:
    module = "org.apache.kafka.common.security.scram.ScramLoginModule"
    lists = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",  # the plain door, which is also the brokers' own
    }
    return {
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.scram.scram-sha-512.sasl.jaas.config": f"{module} required;",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": certificates / "keystore.pem",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": certificates / "ca.pem",
        "listener.name.tls.ssl.client.auth": "required",
        **(lists if acls else {}),
    }
