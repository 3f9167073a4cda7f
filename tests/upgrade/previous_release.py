"""The schema of the previous release, as ``previous_release.json`` names it.

At a release, ``python -m tests.upgrade.previous_release VERSION`` writes the migrations of the checkout to that file.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from django.db.migrations.loader import MigrationLoader

FILE = Path(__file__).with_name("previous_release.json")
Node = tuple[str, str]


@dataclass(frozen=True)
class PreviousRelease:
    """``migrations``: the last migration of each of Windlass's apps. ``commit``: the code of that version."""

    version: str
    commit: str
    migrations: dict[str, str]

    @property
    def nodes(self) -> list[Node]:
        return list(self.migrations.items())


def previous_release() -> PreviousRelease:
    return PreviousRelease(**json.loads(FILE.read_text()))


def migrations_since(release: PreviousRelease, loader: MigrationLoader) -> list[Node]:
    """The migrations of Windlass's apps that the release did not have, in the order in which they are applied."""
    graph = loader.graph
    known = {node for last in release.nodes for node in graph.forwards_plan(last)}
    plan: list[Node] = []
    for leaf in sorted(graph.leaf_nodes()):
        plan += [node for node in graph.forwards_plan(leaf) if node not in known and node not in plan]
    return [node for node in plan if node[0].startswith("windlass_")]


def this_version(version: str) -> PreviousRelease:
    """What the file says once this checkout is the previous release."""
    leaves = MigrationLoader(None).graph.leaf_nodes()
    commit = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    return PreviousRelease(version, commit, {app: name for app, name in sorted(leaves) if app.startswith("windlass_")})


def main() -> None:
    from tests import django_home

    django_home.set_up()
    FILE.write_text(json.dumps(asdict(this_version(sys.argv[1])), indent=2) + "\n")


if __name__ == "__main__":
    main()
