"""The services of ``deploy/compose.yaml``, started by hand: the processes of Windlass by the commands and with the
environment that the file gives them, under Docker's default seccomp profile; other services as tests start them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from urllib.request import urlopen

from tests import deployment_files as deployment
from tests import seccomp_filter, services
from tests.markdown_pages import ROOT
from tests.process.serving import TIMEOUT, free_port, until


class ComposeSet:
    """Start, stop and replace what the compose file describes.

    ``services``: what stands where in place of a container, as ``redis:6379`` -> ``127.0.0.1:…``. ``secrets``: their
    contents, by name. ``overrides``: variables of services that were not started by the file.
    """

    def __init__(
        self, directory: Path, places: Mapping[str, str], secrets: Mapping[str, str], overrides: Mapping[str, str]
    ) -> None:
        self._directory, self._overrides = directory, overrides
        self._definitions = deployment.windlass_services()
        (directory / "secrets").mkdir()
        for name, content in secrets.items():
            (directory / "secrets" / name).write_text(content)
        home = directory / "home"
        home.mkdir(mode=0o700)
        self._places = {**places, "/run/secrets": str(directory / "secrets"), "/var/lib/windlass": str(home)}
        self._rules = directory / "rules.json"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.ports: dict[str, int] = {}
        self._stack = ExitStack()

    def __enter__(self) -> ComposeSet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()
        self._stack.close()

    def restrict(self, profile: Path) -> None:
        """Start processes under this seccomp profile of Docker, from now on."""
        self._rules.write_text(json.dumps(seccomp_filter.docker_default(profile)))

    def run(self, service: str, *words: str) -> str:
        """``docker compose run``: a command, or the service's own, to its end; returns its output."""
        ended = subprocess.run(
            self._command([*words] or self._definitions[service]["command"]),
            env=self._environment(service),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def start(self, service: str) -> list[str]:
        """Start every replica; returns their names."""
        replicas = self._definitions[service].get("deploy", {}).get("replicas", 1)
        names = [f"{service}-{number}" for number in range(1, replicas + 1)]
        for name in names:
            self.start_replica(name)
        return names

    def start_replica(self, name: str) -> None:
        service = name.rpartition("-")[0]
        words = list(self._definitions[service]["command"])
        if "--port" in words:  # containers have an address each; here they have a port each
            words[words.index("--host") + 1] = "127.0.0.1"
            words[words.index("--port") + 1] = str(self.ports.setdefault(name, free_port()))
        with (self._directory / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                self._command(words), env=self._environment(service), cwd=ROOT, stdout=log, stderr=log
            )

    def wait_until_alive(self, name: str) -> None:
        """Wait for the answer that the image's health check asks for."""
        until(lambda: self._is_alive(name), f"{name} to answer: {self.log(name)}")

    def stop_replica(self, name: str) -> int:
        """SIGTERM, then SIGKILL after the file's grace period; returns the exit code."""
        process = self._running.pop(name)
        process.send_signal(signal.SIGTERM)
        grace = self._definitions[name.rpartition("-")[0]]["stop_grace_period"]
        try:
            return process.wait(float(grace.removesuffix("s")))
        finally:
            process.kill()
            process.wait()

    def kill_replica(self, name: str) -> None:
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def counter_files(self, process: str) -> list[Path]:
        """The counters of each running process of this kind (METRICS_DIR)."""
        return sorted((self._directory / "home/metrics").glob(f"{process}-*.counters"))

    def start_nginx(self, program: str) -> str:
        """Start nginx with the file's configuration in front of the web processes; returns its URL.

        Docker's DNS, which names them in the file, is replaced by an ``upstream`` block. Like the addresses of a DNS
        answer, its servers are tried for each request, whatever happened to the one before (``max_fails=0``).
        """
        text = deployment.NGINX.read_text()
        up = "location = /nginx-is-up { return 204; }"
        for written, meant in (
            ("listen 8080;", "listen 127.0.0.1:PORT;"),
            ("resolver 127.0.0.11 valid=2s;", up),
            ("http://web:8000", "http://web_processes"),
        ):
            assert written in text
            text = text.replace(written, meant)
        servers = "".join(f"server 127.0.0.1:{port} max_fails=0;" for port in self.ports.values())
        blocks = f"upstream web_processes {{ {servers} }}\n{text}"
        return self._stack.enter_context(services.nginx(program, "", blocks=blocks))

    def log(self, name: str) -> str:
        path = self._directory / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def _command(self, words: list[str]) -> list[str]:
        assert words[0] == "windlass"
        command = [sys.executable, "-m", "windlass", *words[1:]]
        if self._rules.exists():
            command = [sys.executable, "-m", "tests.seccomp_filter", str(self._rules), *command]
        return command

    def _environment(self, service: str) -> dict[str, str]:
        """Nothing of this machine's but PATH, as in a container."""
        given = {name: self._placed(value) for name, value in self._definitions[service]["environment"].items()}
        return {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"} | given | self._overrides

    def _placed(self, value: str) -> str:
        return re.sub("|".join(map(re.escape, self._places)), lambda found: self._places[found[0]], value)

    def _is_alive(self, name: str) -> bool:
        assert self._running[name].poll() is None, self.log(name)
        try:
            with urlopen(f"http://127.0.0.1:{self.ports[name]}/livez", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
