"""Wires to a server, cut at a chosen COMMIT or request: its answer is lost, or it arrives never, or late."""

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Iterator

COMMIT = b"COMMIT\0"


class Wire:
    """Listens on a port of its own and passes everything on, until the ``at``-th COMMIT."""

    def __init__(self, port: int, at: int, arrives: bool) -> None:
        self.server, self.at, self.arrives = port, at, arrives
        self.commits = 0
        self.cut = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self._start(self._accept)

    def _start(self, work, *words: object) -> None:
        threading.Thread(target=work, args=words, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.server))
                self._start(self._pass, client, server, True)
                self._start(self._pass, server, client, False)

    def _pass(self, source: socket.socket, target: socket.socket, asks: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if asks and COMMIT in data and self._now():
                    self._cut(source, target, data)
                    return
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _now(self) -> bool:
        self.commits += 1
        return self.commits == self.at

    def _cut(self, client: socket.socket, server: socket.socket, data: bytes) -> None:
        """The client sees a broken connection at once; the server may still get the COMMIT."""
        self.cut.set()
        client.shutdown(socket.SHUT_RDWR)
        if self.arrives:
            server.sendall(data)
        server.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def wire(port: int, at: int, *, arrives: bool) -> Iterator[Wire]:
    made = Wire(port, at, arrives)
    try:
        yield made
    finally:
        made.listener.close()


class Post:
    """The same for requests of HTTP: the ``at``-th that matches is taken off the wire with its body.

    The client sees a broken connection; the server gets the request ``at once``, ``never``, or ``late``, when
    ``deliver`` is called.
    """

    def __init__(self, port: int, pattern: bytes, at: int, arrives: str) -> None:
        self.server, self.pattern, self.at, self.arrives = port, re.compile(pattern), at, arrives
        self.seen, self.kept = 0, b""
        self.cut = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self.server)) as server:
            while request := whole(client):
                if self.pattern.match(request) and self._now():
                    self.kept = request
                    if self.arrives == "at once":
                        self.deliver()
                    self.cut.set()
                    # A reset, not an end: it says nothing of what the server got.
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                server.sendall(request)
                client.sendall(whole(server, bodyless=request.startswith(b"HEAD ")))

    def _now(self) -> bool:
        self.seen += 1
        return self.seen == self.at

    def deliver(self) -> None:
        """Sends what was kept, unless it was to arrive never."""
        if self.kept and self.arrives != "never":
            with socket.create_connection(("127.0.0.1", self.server)) as server:
                server.sendall(self.kept)
                whole(server)
        self.kept = b""


def whole(end: socket.socket, bodyless: bool = False) -> bytes:
    """A request or an answer with its body; nothing where the other side has hung up."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := end.recv(1 << 16)):
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", head, re.I)
    due = 0 if bodyless or length is None else int(length[1])
    while len(body) < due:
        if not (more := end.recv(1 << 16)):
            return b""
        body += more
    return head + b"\r\n\r\n" + body


@contextlib.contextmanager
def post(port: int, pattern: bytes, at: int, arrives: str) -> Iterator[Post]:
    made = Post(port, pattern, at, arrives)
    try:
        yield made
    finally:
        made.listener.close()
