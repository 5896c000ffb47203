"""Airflow 3 as people run it: scheduler, DAG processor, API server and triggerer in processes of their own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import psutil

from tests.airflow.place import DAGS, HOME
from tests.services.ports import Ports


def until(what: Callable[[], Any], seconds: float, said: str) -> Any:
    """Asks again and again until there is an answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := what():
                return found
        except (OSError, psutil.Error):
            pass
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for {said}")


class Scheduler:
    """``airflow standalone`` on ports and with a database of its own; ends with everything it started."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="scheduler-", dir=HOME))
        # Migrated already: saves the seconds that takes.
        shutil.copy(HOME / "airflow.db", self.home)
        self.log = self.home / "standalone.log"
        self.ports = Ports()
        port, logs, triggers = (self.ports.take() for _ in range(3))
        self.url = f"http://127.0.0.1:{port}"
        self.environment = {
            **os.environ,
            "AIRFLOW_HOME": str(self.home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # it calls "airflow" by name
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(logs),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(triggers),
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "1",
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        }
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "airflow", "standalone"]
            self.process = subprocess.Popen(
                command, env=self.environment, start_new_session=True, stdout=log, stderr=subprocess.STDOUT
            )
        return self

    def __exit__(self, *_: object) -> None:
        """Tasks have process groups of their own, so the whole family is ended, one by one."""
        try:
            top = psutil.Process(self.process.pid)
            family = [top, *top.children(recursive=True)]
            os.killpg(self.process.pid, signal.SIGTERM)
        except (psutil.NoSuchProcess, ProcessLookupError):
            return
        for left in psutil.wait_procs(family, timeout=5)[1]:
            left.kill()
        self.process.wait()
        self.ports.close()

    def api(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        told = urllib.request.Request(
            f"{self.url}/api/v2{path}", data, {"content-type": "application/json"}, method=method
        )
        with urllib.request.urlopen(told, timeout=10) as answer:
            return json.load(answer)

    def wait_for(self, dag: str) -> None:
        """Until it runs and has read the DAG."""
        until(lambda: self.api("GET", f"/dags/{dag}"), 300, f"{dag}; see {self.log}")
        self.api("PATCH", f"/dags/{dag}", {"is_paused": False})

    def trigger(self, dag: str, **conf: Any) -> str:
        """Starts a run; gives its path."""
        made = self.api("POST", f"/dags/{dag}/dagRuns", {"logical_date": None, "conf": conf})
        return f"/dags/{dag}/dagRuns/{made['dag_run_id']}"

    def task(self, run: str, name: str) -> dict[str, Any]:
        return dict(self.api("GET", f"{run}/taskInstances/{name}"))

    def state(self, run: str, name: str, *states: str, seconds: float = 300) -> dict[str, Any]:
        """Waits until a task is in one of these states."""
        found: dict[str, Any] = {}

        def there() -> bool:
            found.update(self.task(run, name))
            return found["state"] in states

        until(there, seconds, f"{name} to be {states}, it is {found.get('state')}\n{self.said(run, name)}")
        return found

    def said(self, run: str, name: str) -> str:
        """What the tries of a task logged."""
        folder = self.home / "logs"
        return "\n".join(path.read_text()[-4000:] for path in sorted(folder.rglob(f"*task_id={name}/*.log")))
