"""rustus, a tus server in Rust."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from benchmarks import dialects
from benchmarks.peers.base import TOOLS, Peer, find_tool, run_tool

VERSION = "0.5.10"
#: Each body is in its memory as a whole, so that clients have to send pieces. Its default is 256 KiB.
MAX_BODY = dialects.PIECE


class Rustus(Peer):
    key = "rustus"
    name = "rustus"
    dialects: ClassVar = {"tus, 16 MiB a PATCH": dialects.tus_in_pieces}
    downloads = False

    def prepare(self) -> str:
        """Built once by cargo, which takes minutes, with the versions of its own lock file."""
        if not self._binary.exists():
            command = [find_tool("cargo"), "install", "rustus", "--version", VERSION, "--locked"]
            run_tool([*command, "--root", str(self._root)], cwd=TOOLS, reason="cargo could not build rustus")
        return VERSION

    @property
    def _root(self) -> Path:
        return TOOLS / f"rustus-{VERSION}"

    @property
    def _binary(self) -> Path:
        return self._root / "bin" / "rustus"

    def command(self, directory: Path, port: int) -> list[str]:
        options = ["--host=127.0.0.1", f"--port={port}", f"--max-body-size={MAX_BODY}", "--log-level=ERROR"]
        return [str(self._binary), *options, f"--data-dir={directory}", f"--info-dir={directory}"]
