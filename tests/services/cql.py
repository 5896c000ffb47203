"""As much of Cassandra's protocol as it takes to log in: whether a node truly answers."""

import socket
import ssl
import struct
from pathlib import Path

VERSION, RESPONSE = 4, 0x80
ERROR, STARTUP, READY, AUTHENTICATE, AUTH_RESPONSE, AUTH_SUCCESS = 0x00, 0x01, 0x02, 0x03, 0x0F, 0x10
HEADER = struct.Struct(">BBhBi")


def exchange(connection: socket.socket, operation: int, body: bytes) -> int:
    """Sends one frame, reads one; gives the operation of the answer."""
    connection.sendall(HEADER.pack(VERSION, 0, 0, operation, len(body)) + body)
    answer = connection.makefile("rb")
    version, _, _, operation, length = HEADER.unpack(answer.read(HEADER.size))
    answer.read(length)
    return operation if version & RESPONSE else ERROR


def text(value: str) -> bytes:
    return struct.pack(">H", len(value)) + value.encode()


def logs_in(address: str, port: int, user: str, password: str, ca: Path | None = None) -> bool:
    """Whether the node takes the login, or needs none."""
    try:
        with socket.create_connection((address, port), timeout=10) as connection:
            if ca is not None:
                connection = ssl.create_default_context(cafile=ca).wrap_socket(connection, server_hostname=address)
            answer = exchange(connection, STARTUP, struct.pack(">H", 1) + text("CQL_VERSION") + text("3.0.0"))
            if answer == AUTHENTICATE:
                token = f"\0{user}\0{password}".encode()
                answer = exchange(connection, AUTH_RESPONSE, struct.pack(">i", len(token)) + token)
            return answer in (READY, AUTH_SUCCESS)
    except (OSError, struct.error):
        return False
