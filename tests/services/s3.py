"""What speaks like S3, in memory (moto): conditional puts, copies, lists, and keys that are checked when asked for."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen
from xml.sax.saxutils import unescape

from .cache import ROOT
from .ports import listening
from .process import Process
from .server import Server
from .watch import ServiceError

HOST = "127.0.0.1"
#: bucket, and name of the key
NAME = "wattline"
SECRET = "wattline-secret"


def program() -> Path:
    """The server of this environment, or of the checkout's own."""
    for folder in (Path(sys.executable).parent, ROOT / ".venv/bin"):
        if (folder / "moto_server").exists():
            return folder / "moto_server"
    raise ServiceError("moto_server is not there; install the group dev of pyproject.toml")


class S3(Server):
    """One server with a bucket ``wattline``. It keeps what it holds while it lives, and loses it when it is killed."""

    kind = "s3"

    def __init__(self) -> None:
        super().__init__()
        self.port = self.ports.take()
        command = [program(), "-H", HOST, "-p", self.port]
        self.nodes = [Process("s3", command, self.folder, lambda _: listening(HOST, self.port))]

    def start(self) -> "S3":
        super().start()
        self.ask("PUT", f"/{NAME}")
        return self

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """The bucket, with the keys."""
        return self.at("")

    def at(self, prefix: str, **options: object) -> str:
        """A place in the bucket, with the keys and further options."""
        told: Mapping[str, object] = {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "access_key_id": NAME,
            "secret_access_key": SECRET,
            **options,
        }
        return f"s3://{NAME}/{prefix}".rstrip("/") + "?" + "&".join(f"{key}={value}" for key, value in told.items())

    @property
    def environment(self) -> dict[str, str]:
        """Beside the URL what clients of Amazon's read, without the keys in it."""
        return {**super().environment, "WATTLINE_TEST_S3_ENDPOINT": self.endpoint}

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """A request that seems to be signed."""
        signed = (
            f"AWS4-HMAC-SHA256 Credential={NAME}/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
        )
        headers = {"Content-Type": "application/octet-stream", "Authorization": signed}
        with urlopen(Request(self.endpoint + path, body, headers, method=method), timeout=30) as answer:
            return bytes(answer.read())

    def names(self, prefix: str = "") -> list[str]:
        """Names of the objects that begin so, no more than a thousand."""
        found = self.ask("GET", f"/{NAME}?list-type=2&prefix={quote(prefix)}").decode()
        return [unescape(name) for name in re.findall("<Key>(.*?)</Key>", found)]

    def remove(self, prefix: str) -> None:
        """Removes the objects whose names begin so."""
        for name in self.names(prefix):
            self.ask("DELETE", f"/{NAME}/{quote(name)}")

    def check_keys(self, *, on: bool) -> None:
        """Whether requests with keys that it does not know are refused; it knows none."""
        self.ask("POST", "/moto-api/reset-auth", b"0" if on else b"inf")
