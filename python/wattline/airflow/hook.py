"""``WattlineHook``: connections of Airflow as endpoints, by URLs ``conn://ID/...``."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow.providers.common.compat.sdk import BaseHook

from ..endpoint import Frozen, endpoint_spec
from ..errors import UsageError, WattlineError
from ..sink import Sink
from . import connections

__all__ = ["WattlineHook"]


class WattlineHook(BaseHook):
    """Turns ``conn://ID/...`` into an endpoint, asking Airflow for the connection ``ID`` when a task runs.

    =====================================  ==================================================================
    ``conn://kafka_default/topic``         type ``kafka``: librdkafka's dictionary in ``extra``
    ``conn://postgres_default/schema``     type ``postgres``: the database is the connection's ``schema``
    ``conn://cassandra_default/keyspace``  type ``cassandra``: the keyspace by default its ``schema``
    ``conn://aws_default/bucket/key``      type ``aws``: Parquet files at ``s3://bucket/key``
    ``conn://fs_default/file.csv``         type ``fs``: below its path
    ``conn://wattline_default/...``        type ``wattline``: any endpoint, with ``login`` and ``password``
    =====================================  ==================================================================

    What follows ``?`` are options of the endpoint: ``conn://cassandra_default/electrical?consistency=QUORUM``.
    The secrets stay in Airflow: neither the DAG nor its rendered fields nor the triggers' table hold them.
    """

    conn_name_attr = "wattline_conn_id"
    default_conn_name = "wattline_default"
    conn_type = "wattline"
    hook_name = "Wattline"

    def __init__(self, wattline_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.wattline_conn_id = wattline_conn_id
        #: The servers of the connections that were asked for, as error messages name them.
        self.places: dict[str, str] = {}

    def get_conn(self) -> str | Frozen:
        """The endpoint of this hook's own connection."""
        return self.endpoint(f"conn://{self.wattline_conn_id}")

    def endpoint(self, url: str) -> str | Frozen:
        """The endpoint that ``conn://ID/...`` means; other text comes back as it is."""
        if not url.startswith("conn://"):
            return url
        name, rest, options = connections.split(url)
        if not name:
            raise UsageError(f"{url!r} names no connection; write conn://ID/...")
        found = self.get_connection(name)
        try:
            made, self.places[name] = connections.endpoint(found, rest, options)
        except (UsageError, TypeError) as error:
            raise UsageError(f"connection {name!r}: {error}") from None
        return made

    def resolve(self, value: Any) -> Any:
        """The same value with every ``conn://`` in it resolved: of a source, of sinks, in lists and dictionaries."""
        if isinstance(value, str):
            return self.endpoint(value)
        if isinstance(value, Sink):
            return Sink(**{**value._options, "endpoint": self.resolve(value.endpoint)})
        if isinstance(value, Mapping) and "endpoint" in value:
            found = self.resolve(value["endpoint"])
            return {**value, "endpoint": found if isinstance(found, Mapping) else endpoint_spec(found)}
        if isinstance(value, (list, tuple)):
            return [self.resolve(part) for part in value]
        return value

    @contextmanager
    def named(self) -> Iterator[None]:
        """While it lasts, an error that speaks of a connection's server says which connection that is."""
        try:
            yield
        except WattlineError as error:
            error.args = (self.of(str(error)), *error.args[1:])
            raise

    def of(self, message: str) -> str:
        """A message with the connection in front whose server it speaks of."""
        fault = [repr(name) for name, place in self.places.items() if place in message]
        told = not fault or message.startswith("connection ")
        return message if told else f"connection {' or '.join(fault)}: {message}"

    def test_connection(self) -> tuple[bool, str]:
        """Whether the connection can be read; the server itself is asked by ``CheckOperator``."""
        try:
            return True, f"it means {self.get_conn()!r}"
        except WattlineError as error:
            return False, str(error)


def definition(path: str) -> dict[str, Any]:
    """The options in a ``.toml`` file whose endpoints may be ``conn://``; ``${NAME}`` is taken from the environment."""
    try:
        with open(path, "rb") as file:
            return dict(_expanded(tomllib.load(file)))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is no TOML ({error}); mend it") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); check toml= of the operator") from None


def _expanded(value: Any) -> Any:
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", _variable, value)
    if isinstance(value, dict):
        return {key: _expanded(inner) for key, inner in value.items()}
    return [_expanded(inner) for inner in value] if isinstance(value, list) else value


def _variable(found: re.Match[str]) -> str:
    try:
        return os.environ[found[1]]
    except KeyError:
        raise UsageError(f"the environment variable {found[1]} is not set; set it") from None
