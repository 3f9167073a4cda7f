"""A Redis that a test may kill and start again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import redis as redis_client

from tests.process.serving import free_port, until


class Redis:
    """A real Redis on one port, which can be killed and started again."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder, self._port = program, folder, free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.start()

    def start(self) -> None:
        command = [self._program, "--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(command, cwd=self._folder, stdout=subprocess.DEVNULL)
        until(self._answers, "Redis")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def empty(self) -> None:
        with redis_client.Redis.from_url(self.url) as connection:
            connection.flushall()

    def _answers(self) -> bool:
        try:
            with redis_client.Redis.from_url(self.url) as connection:
                return bool(connection.ping())
        except redis_client.RedisError:
            return False
