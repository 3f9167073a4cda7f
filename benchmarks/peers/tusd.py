"""tusd, the reference server of the tus protocol, in Go."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from benchmarks import dialects
from benchmarks.peers.base import HERE, TOOLS, Peer, find_tool, run_tool

PACKAGE = "github.com/tus/tusd/v2"
MODULE = HERE / "tusd_module"


class Tusd(Peer):
    key = "tusd"
    name = "tusd"
    dialects: ClassVar = {"tus": dialects.tus, "tus, one request": dialects.tus_in_one}

    def prepare(self) -> str:
        """Built once, by go, in the version that tusd_module/go.mod pins."""
        if not self._binary.exists():
            command = [find_tool("go"), "build", "-mod=readonly", "-buildvcs=false", "-o", str(self._binary)]
            run_tool([*command, f"{PACKAGE}/cmd/tusd"], cwd=MODULE, reason="go could not build tusd")
        return self._version

    @property
    def _version(self) -> str:
        requirements = (MODULE / "go.mod").read_text().splitlines()
        return next(line.split()[-1] for line in requirements if f"{PACKAGE} v" in line)

    @property
    def _binary(self) -> Path:
        return TOOLS / f"tusd-{self._version}"

    def command(self, directory: Path, port: int) -> list[str]:
        store = directory / "store"
        store.mkdir()
        return [*self.listening(port), f"-upload-dir={store}"]

    def listening(self, port: int) -> list[str]:
        """The command without its store."""
        return [str(self._binary), "-host=127.0.0.1", f"-port={port}", "-base-path=/files/", "-verbose=false"]
