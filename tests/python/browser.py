"""A headless Chromium, spoken to over a pipe: opens a page, tells what it logged and asked for, takes pictures."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

#: Seconds without a word after which a browser hangs.
SILENCE = 120
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--remote-debugging-pipe",
)


def program() -> str:
    """Where the browser is; ``make system`` installs it."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, "no Chromium; install what Debian calls chromium (make system does)"
    return found


class Browser:
    """One browser with one page, for a ``with``; it ends with it, by its process id."""

    def __enter__(self) -> Browser:
        self._profile = tempfile.mkdtemp(prefix="wattline-browser-")
        to_read, self._to = os.pipe()
        self._from, from_write = os.pipe()
        # The browser reads from 3 and writes to 4, whatever the numbers of these pipes are here.
        command = f'exec "$@" 3<&{to_read} 4>&{from_write}'
        flags = [program(), *FLAGS, f"--user-data-dir={self._profile}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", command, "bash", *flags],
            pass_fds=(to_read, from_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(from_write)
        self._rest, self._count, self.events, self._session = b"", 0, [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)
        shutil.rmtree(self._profile, ignore_errors=True)

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._from], [], [], SILENCE)[0], "the browser does not answer"
            got = os.read(self._from, 1 << 20)
            assert got, "the browser went away"
            self._rest += got
        one, self._rest = self._rest.split(b"\0", 1)
        return json.loads(one)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Asks for something and gives the answer; events on the way are kept."""
        self._count += 1
        asked: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._to, json.dumps(asked).encode() + b"\0")
        while True:
            got = self._message()
            if got.get("id") == self._count:
                assert "error" not in got, got
                return got["result"]
            self.events.append(got)

    def look(self, width: int, height: int, *, dark: bool = False) -> None:
        """The size of the window and the colours that are preferred."""
        mobile = width < 500
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, page: Path) -> None:
        """Loads a file and waits until it is there."""
        self.events.clear()
        self.call("Page.navigate", url=page.absolute().as_uri())
        for _ in range(600):
            if self.js("document.readyState") == "complete" and self.js("location.protocol") == "file:":
                return
            time.sleep(0.05)
        raise AssertionError(f"{page} did not load")

    def js(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self, out: Path) -> bytes:
        """The whole page as it looks."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        out.write_bytes(base64.b64decode(shot["data"]))
        return out.read_bytes()

    def print(self, out: Path) -> bytes:
        """The page as it is printed."""
        out.write_bytes(base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"]))
        return out.read_bytes()

    def complaints(self) -> list[str]:
        """What went to the console as an error, and every exception."""
        bad = []
        for event in self.events:
            told = event.get("params", {})
            error = event.get("method") == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning")
            called = event.get("method") == "Runtime.consoleAPICalled" and told["type"] in (
                "error",
                "assert",
                "warning",
            )
            if error or called or event.get("method") == "Runtime.exceptionThrown":
                bad.append(json.dumps(told)[:400])
        return bad

    def requests(self) -> list[str]:
        """The addresses asked for, beside the page itself and what is inside it."""
        sent = [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith(("file:", "data:", "about:"))]
