"""Windlass behind nginx, which sends the files. Both processes together count as the server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from benchmarks import dialects
from benchmarks.peers.base import Companions, find_tool, free_port, running_process
from benchmarks.peers.nginx import PROXIES, nginx_command
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
    def companions(self, directory: Path, port: int) -> Iterator[Companions]:
        front, media = free_port(), directory / "home" / "media"
        command = nginx_command(directory, front, PROXIES.format(port=port, media=media))
        with running_process(command, directory, "nginx", {}) as nginx:
            yield Companions(front, counted=(nginx.pid,))
