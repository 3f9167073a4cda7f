"""The source of the previous release, from the history of this repository."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

from tests.upgrade.previous_release import previous_release

ROOT = Path(__file__).parents[2]
METADATA = "Metadata-Version: 2.1\nName: windlass\nVersion: 0\n"


def extract(directory: Path) -> dict[str, str] | None:
    """Put the source into ``directory``; return the environment in which ``windlass`` is that source.

    None if the history is not here: a shallow clone, or no repository.
    """
    commit = previous_release().commit
    command = ["git", "archive", "--format=tar", commit, "src", "pyproject.toml"]
    archive = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        return None
    directory.mkdir()
    subprocess.run(["tar", "-x", "-C", directory], input=archive.stdout, check=True)
    _describe(directory)
    return {"PYTHONPATH": str(directory / "src")}


def _describe(directory: Path) -> None:
    """Write the metadata of an installed package: its steps are found by entry point."""
    groups = tomllib.loads((directory / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = [
        line
        for group, entries in groups.items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
    ]
    described = directory / "src" / "windlass-0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(METADATA)
    (described / "entry_points.txt").write_text("\n".join(lines) + "\n")
