"""Windlass as `windlass serve` runs it: web, worker and scheduler, with its defaults except the durability."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from benchmarks import dialects
from benchmarks.http1 import Connection, Reply, UnexpectedReplyError
from benchmarks.peers.base import Peer

UNFINISHED_STATUSES = ("PENDING", "PROCESSING")
PROCESSING_TIMEOUT_SECONDS = 600


class Windlass(Peer):
    """Base class of the peers; they differ in durability and set-up."""

    durability: ClassVar[str]
    dialects: ClassVar = {
        "tus": dialects.tus,
        "tus, one request": dialects.tus_in_one,
        "raw": dialects.raw,
        "form": dialects.form,
    }

    def prepare(self) -> str:
        return importlib.metadata.version("windlass")

    def command(self, directory: Path, port: int) -> list[str]:
        home = str(directory / "home")
        return [sys.executable, "-m", "windlass", "serve", "--host", "127.0.0.1", "--port", str(port), "--home", home]

    def environment(self) -> Mapping[str, str]:
        return {"DURABILITY": self.durability}

    def download_path(self, connection: Connection, path: str, reply: Reply) -> str:
        record_path = self.record_path(reply)
        self.wait_until_ready(connection, record_path, poll_seconds=0.2)
        record: dict[str, Any] = json.loads(connection.request("GET", record_path).expect(200).body)
        link: str = record["links"]["download"]
        return link

    def record_path(self, reply: Reply) -> str:
        """Return the path of the record of the completed upload."""
        if found := reply.headers.get("windlass-file"):
            return found
        link: str = json.loads(reply.body)["links"]["self"]
        return link

    def wait_until_ready(self, connection: Connection, record_path: str, *, poll_seconds: float) -> None:
        deadline = time.monotonic() + PROCESSING_TIMEOUT_SECONDS
        while True:
            status = json.loads(connection.request("GET", f"{record_path}status/").expect(200).body)["status"]
            if status == "READY":
                return
            if status not in UNFINISHED_STATUSES or time.monotonic() > deadline:
                raise UnexpectedReplyError(f"{record_path} is {status}")
            time.sleep(poll_seconds)

    def wait_until_processed(self, connection: Connection) -> None:
        deadline = time.monotonic() + PROCESSING_TIMEOUT_SECONDS
        while any(self._files(connection, status) for status in UNFINISHED_STATUSES):
            if time.monotonic() > deadline:
                raise UnexpectedReplyError("files are still being processed")
            time.sleep(0.2)

    def _files(self, connection: Connection, status: str) -> list[Any]:
        reply = connection.request("GET", f"/files/?limit=1&status={status}").expect(200)
        found: list[Any] = json.loads(reply.body)["results"]
        return found


class WindlassStrict(Windlass):
    key = "windlass-strict"
    name = "Windlass (strict)"
    durability = "strict"


class WindlassOs(Windlass):
    key = "windlass-os"
    name = "Windlass (os)"
    durability = "os"
