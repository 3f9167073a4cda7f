"""Windlass behind nginx, which is handed the sending of files: both processes together are the server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from benchmarks import dialects
from benchmarks.peers.base import Company, find_tool, free_port, process_of
from benchmarks.peers.nginx import PROXIES, configured
from benchmarks.peers.windlass import Windlass


class WindlassProxied(Windlass):
    key = "windlass-accel"
    name = "Windlass (X-Accel)"
    setup: ClassVar = "proxied"
    durability = "strict"
    dialects: ClassVar = {"tus": dialects.tus}

    def prepare(self) -> str:
        find_tool("nginx")
        return super().prepare()

    def environment(self) -> Mapping[str, str]:
        return {**super().environment(), "SENDFILE": "x-accel-redirect"}

    @contextlib.contextmanager
    def company(self, directory: Path, port: int) -> Iterator[Company]:
        front, media = free_port(), directory / "home" / "media"
        command = configured(directory, front, PROXIES.format(port=port, media=media))
        with process_of(command, directory, "nginx", {}) as nginx:
            yield Company(front, counted=(nginx.pid,))
