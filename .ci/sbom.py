"""Write a software bill of materials (CycloneDX 1.6, JSON) of Windlass and what it needs to run, with all extras.

The packages are those installed beside this program, in the versions of constraints.txt. What only development and
benchmarks need is left out: it is not part of an installation. Libraries inside of wheels, such as libvips in
pyvips-binary and FFmpeg in av, are not packages and have no entries of their own.

``python .ci/sbom.py FILE``
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "windlass"
#: Extras of an installation; the others are for work on Windlass itself.
NOT_INSTALLED = {"dev", "bench"}


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    bom = bill_of_materials()
    outputter = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6)
    target.write_text(outputter.output_as_string(indent=2) + "\n")
    print(f"sbom: {len(bom.components)} packages in {target}")
    return 0


def bill_of_materials() -> Bom:
    """Raises PackageNotFoundError for a package that is required and not installed."""
    extras = frozenset(project()["optional-dependencies"]) - NOT_INSTALLED
    components: dict[str, Component] = {}
    needs: dict[str, set[str]] = {}
    waiting: list[tuple[str, frozenset[str]]] = [(PROJECT, extras)]
    done: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in done:
            continue
        done.add((name, wanted))
        components.setdefault(name, component(name))
        required = list(requirements(name, wanted))
        needs.setdefault(name, set()).update(needed for needed, _ in required if needed != name)
        waiting += required
    bom = Bom()
    bom.metadata.component = components.pop(PROJECT)
    bom.components.update(components.values())
    known = components | {PROJECT: bom.metadata.component}
    for name, each in known.items():
        bom.register_dependency(each, [known[needed] for needed in sorted(needs[name])])
    return bom


def requirements(name: str, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """What a package requires on this machine: the names, each with the extras that are asked of it."""
    for requirement in map(Requirement, declared(name, extras)):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield normalized(requirement.name), frozenset(requirement.extras)


def declared(name: str, extras: frozenset[str]) -> Sequence[str]:
    """The requirements of a package; those of this project as pyproject.toml has them now."""
    if name != PROJECT:
        return metadata.requires(name) or []
    optional = project()["optional-dependencies"]
    return [*project()["dependencies"], *(line for extra in sorted(extras) for line in optional[extra])]


@cache
def project() -> dict[str, Any]:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return dict(document["project"])


def component(name: str) -> Component:
    about = metadata.metadata(name).json
    licence = str(about.get("license_expression") or about.get("license") or "")
    is_one_line = licence and "\n" not in licence and len(licence) < 100
    return Component(
        name=normalized(str(about["name"])),
        version=str(about["version"]),
        type=ComponentType.APPLICATION if name == PROJECT else ComponentType.LIBRARY,
        description=str(about.get("summary") or ""),
        licenses=[LicenseFactory().make_from_string(licence)] if is_one_line else [],
        purl=(purl := PackageURL("pypi", None, normalized(str(about["name"])), str(about["version"]))),
        bom_ref=str(purl),
    )


def normalized(name: str) -> str:
    """The one spelling of a package's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
