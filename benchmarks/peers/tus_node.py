"""@tus/server with @tus/file-store, the reference server in Node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from benchmarks import dialects
from benchmarks.peers.base import HERE, Peer, find_tool, run_tool

FOLDER = HERE / "tus_node_server"


class TusNode(Peer):
    key = "tus-node"
    name = "@tus/server"
    dialects: ClassVar = {"tus": dialects.tus, "tus, one request": dialects.tus_in_one}

    def prepare(self) -> str:
        """Installed once by npm, in the versions of tus_node_server/package-lock.json."""
        node = run_tool([find_tool("node"), "--version"], cwd=FOLDER, reason="node does not run").strip()
        modules = FOLDER / "node_modules" / "@tus"
        if not modules.exists():
            command = [find_tool("npm"), "ci", "--no-audit", "--no-fund", "--omit=optional"]
            run_tool(command, cwd=FOLDER, reason="npm could not install @tus/server")
        versions = [json.loads((modules / part / "package.json").read_text())["version"] for part in PARTS]
        return f"{versions[0]}, @tus/file-store {versions[1]}, node {node}"

    def command(self, directory: Path, port: int) -> list[str]:
        return [find_tool("node"), str(FOLDER / "serve.mjs"), str(directory / "store"), str(port)]


PARTS = ("server", "file-store")
