"""tuspyserver, a tus server in Python for FastAPI, under uvicorn."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from benchmarks import dialects
from benchmarks.peers.base import ROOT, Peer, UnavailableError


class Tuspyserver(Peer):
    key = "tuspyserver"
    name = "tuspyserver"
    dialects: ClassVar = {"tus": dialects.tus, "tus, one request": dialects.tus_in_one}
    downloads = False  # it serves no files

    def prepare(self) -> str:
        if importlib.util.find_spec("tuspyserver") is None:
            raise UnavailableError("tuspyserver is not installed (it is in the extra `bench`)")
        versions = [importlib.metadata.version(package) for package in ("tuspyserver", "uvicorn")]
        return f"{versions[0]}, uvicorn {versions[1]}"

    def command(self, directory: Path, port: int) -> list[str]:
        # It stores files in its working directory.
        application = "benchmarks.peers.tuspyserver_app:app"
        options = ["--host=127.0.0.1", f"--port={port}", "--log-level=warning", "--no-access-log"]
        return [sys.executable, "-m", "uvicorn", application, *options]

    def environment(self) -> Mapping[str, str]:
        return {"PYTHONPATH": str(ROOT)}
