"""Real servers for tests, on free loopback ports in temporary folders, gone with the process that started them.

>>> with Postgres() as postgres:
...     connect(postgres.url)
...     postgres.kill()
...     postgres.start()
"""

from .cassandra import Cassandra
from .kafka import Kafka
from .postgres import Postgres
from .process import Process
from .s3 import S3
from .server import Server
from .watch import ServiceError

__all__ = ["S3", "Cassandra", "Kafka", "Postgres", "Process", "Server", "ServiceError"]
