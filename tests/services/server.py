"""What all servers have in common: one process or several, a folder, ports."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from .ports import Ports
from .process import Process
from .watch import make_folder, remove_folder


class Server(ABC):
    """A server of one process or more in a temporary folder of its own; a context manager."""

    #: the name in commands, folders and fixtures
    kind = ""

    def __init__(self) -> None:
        self.ports = Ports()
        self.folder: Path = make_folder(self.kind)
        self.nodes: list[Process] = []

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients reach it, as the product writes it."""

    @property
    def environment(self) -> dict[str, str]:
        """What a command that needs this server is told."""
        return {f"WATTLINE_TEST_{self.kind.upper()}": self.url}

    @property
    def log(self) -> Path:
        """The log of the first node."""
        return self.nodes[0].log

    @property
    def pids(self) -> list[int]:
        return [node.pid for node in self.nodes if node.alive]

    def start(self) -> Self:
        """Starts the nodes that are down, all at once, on the data they had; waits until they answer."""
        for node in self.nodes:
            node.begin()
        for node in self.nodes:
            node.wait()
        return self

    def kill(self) -> None:
        """SIGKILL to every node."""
        for node in self.nodes:
            node.kill()

    def stop(self, seconds: float = 30) -> None:
        """An orderly end; ``start`` goes on from there."""
        for node in self.nodes:
            if node.alive:
                node.ask()
        for node in self.nodes:
            node.stop(seconds)

    def freeze(self) -> None:
        for node in self.nodes:
            node.freeze()

    def thaw(self) -> None:
        for node in self.nodes:
            node.thaw()

    def close(self) -> None:
        """Ends everything and removes the data."""
        for node in self.nodes:
            node.end()
        remove_folder(self.folder)
        self.ports.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()
