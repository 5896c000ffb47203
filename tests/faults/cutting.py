"""A wire to a server that is cut at a chosen COMMIT: its answer is lost, or it never arrives."""

import contextlib
import socket
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
