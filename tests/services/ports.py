"""Free loopback ports that no other set of servers takes meanwhile."""

import random
import socket
from contextlib import closing, suppress

# Below the range the kernel takes for outgoing connections.
RANGE = range(20_000, 32_000)


class Ports:
    """Ports held for as long as the object lives, also while the server that uses them is down."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def take(self, addresses: tuple[str, ...] = ("127.0.0.1",)) -> int:
        """A port free on all the addresses."""
        for port in random.sample(RANGE, 500):
            claim = socket.socket(socket.AF_UNIX)
            with suppress(OSError):
                # A name without a file: the kernel frees it with the process.
                claim.bind(f"\0wattline-port-{port}")
                if all(free(address, port) for address in addresses):
                    self._held.append(claim)
                    return port
            claim.close()
        raise OSError(f"no free port between {RANGE.start} and {RANGE.stop}")

    def close(self) -> None:
        for claim in self._held:
            claim.close()
        self._held.clear()


def free(address: str, port: int) -> bool:
    with closing(socket.socket()) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True


def listening(address: str, port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0
