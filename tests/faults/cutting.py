"""Wires to a server, cut at a chosen COMMIT or request: its answer is lost, or it arrives never, or late."""

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator

COMMIT = b"COMMIT\0"
#: How a relay sends a request on, and what came back.
Send = Callable[[bytes], bytes]


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


class Relay:
    """Stands before a server of HTTP: `between` gets each request and how to send one, and gives the answer.

    No answer: the client sees a broken connection.
    """

    def __init__(self, port: int, between: Callable[[bytes, Send], bytes | None]) -> None:
        self.server, self.between = port, between
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
                answer = self.between(request, lambda request: sent(server, request))
                if answer is None:
                    # A reset, not an end: it says nothing of what the server got.
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                client.sendall(answer)


class Post(Relay):
    """The ``at``-th request that matches is taken off the wire with its body, and the client gets the first of
    `answers`; those that match after it get the others. Without one it sees a broken connection.

    The server gets the request ``at once``, ``never``, or ``late``, when ``deliver`` is called.
    """

    def __init__(self, port: int, pattern: bytes, at: int, arrives: str, *answers: bytes) -> None:
        self.pattern, self.at, self.arrives, self.answers = re.compile(pattern), at, arrives, answers
        self.seen, self.kept = 0, b""
        self.cut = threading.Event()
        super().__init__(port, self._pass)

    def _pass(self, request: bytes, send: Send) -> bytes | None:
        if not self.pattern.match(request):
            return send(request)
        self.seen += 1
        after = self.seen - self.at
        if after == 0:
            self.kept = request
            if self.arrives == "at once":
                self.deliver()
            self.cut.set()
        if 0 <= after < len(self.answers):
            return self.answers[after]
        return None if after == 0 else send(request)

    def deliver(self) -> None:
        """Sends what was kept, unless it was to arrive never."""
        if self.kept and self.arrives != "never":
            with socket.create_connection(("127.0.0.1", self.server)) as server:
                sent(server, self.kept)
        self.kept = b""


def sent(server: socket.socket, request: bytes) -> bytes:
    """The server's answer."""
    server.sendall(request)
    return whole(server, bodyless=request.startswith(b"HEAD "))


def refusal(status: str, code: str) -> bytes:
    """An answer of S3's that is none."""
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>"
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


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
def relay(port: int, between: Callable[[bytes, Send], bytes | None]) -> Iterator[Relay]:
    made = Relay(port, between)
    try:
        yield made
    finally:
        made.listener.close()


@contextlib.contextmanager
def post(port: int, pattern: bytes, at: int, arrives: str, *answers: bytes) -> Iterator[Post]:
    made = Post(port, pattern, at, arrives, *answers)
    try:
        yield made
    finally:
        made.listener.close()
