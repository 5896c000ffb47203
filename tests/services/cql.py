"""As much of Cassandra's protocol as it takes to log in and to count: whether a node truly answers."""

import socket
import ssl
import struct
from pathlib import Path

VERSION, RESPONSE = 4, 0x80
ERROR, STARTUP, READY, AUTHENTICATE, AUTH_RESPONSE, AUTH_SUCCESS = 0x00, 0x01, 0x02, 0x03, 0x0F, 0x10
QUERY, RESULT, ONE = 0x07, 0x08, 1
#: Nodes of the ring beside the one that is asked. A node that is up is in the ring a moment later.
PEERS = "SELECT count(tokens) FROM system.peers_v2"
HEADER = struct.Struct(">BBhBi")


def exchange(connection: socket.socket, operation: int, body: bytes) -> tuple[int, bytes]:
    """Sends one frame, reads one; gives the operation of the answer and its body."""
    connection.sendall(HEADER.pack(VERSION, 0, 0, operation, len(body)) + body)
    answer = connection.makefile("rb")
    version, _, _, operation, length = HEADER.unpack(answer.read(HEADER.size))
    return operation if version & RESPONSE else ERROR, answer.read(length)


def text(value: str) -> bytes:
    return struct.pack(">H", len(value)) + value.encode()


def peers(address: str, port: int, user: str, password: str, ca: Path | None = None) -> int | None:
    """How many other nodes the node has in its ring; ``None``: it does not take the login, or does not answer."""
    try:
        with socket.create_connection((address, port), timeout=10) as connection:
            if ca is not None:
                connection = ssl.create_default_context(cafile=ca).wrap_socket(connection, server_hostname=address)
            if not logs_in(connection, user, password):
                return None
            query = struct.pack(">i", len(PEERS)) + PEERS.encode() + struct.pack(">HB", ONE, 0)
            answer, rows = exchange(connection, QUERY, query)
            # One row of one column: its value is what comes last.
            return struct.unpack(">q", rows[-8:])[0] if answer == RESULT else None
    except (OSError, struct.error):
        return None


def logs_in(connection: socket.socket, user: str, password: str) -> bool:
    """Whether the node takes the login, or needs none."""
    answer, _ = exchange(connection, STARTUP, struct.pack(">H", 1) + text("CQL_VERSION") + text("3.0.0"))
    if answer == AUTHENTICATE:
        token = f"\0{user}\0{password}".encode()
        answer, _ = exchange(connection, AUTH_RESPONSE, struct.pack(">i", len(token)) + token)
    return answer in (READY, AUTH_SUCCESS)
