"""The documentation agrees with the code: settings, problems, statuses, steps, commands, links."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tests import markdown_pages
from tests.markdown_pages import DOCS, ROOT
from windlass.cli import app
from windlass.conf import Settings
from windlass.events.types import EventType
from windlass.files.profiles import Profile
from windlass.files.states import FILE_TRANSITIONS, UPLOAD_TRANSITIONS, FileStatus, StepState, UploadStatus
from windlass.jobs.states import AttemptOutcome, JobState, Stage
from windlass.kernel.problem_types import all_problems
from windlass.processing import registry

PAGES = markdown_pages.pages()

#: Blocks that tests/process/test_docs_examples.py runs (`javascript`: tests/browser), and blocks that nobody could.
RUN = {"bash", "python", "js", "javascript"}
NOT_RUN = {"console", "json", "nginx", "output", "text", "toml"}


#: Every Python file of the repository, as ``/path``.
MODULES = [
    f"/{path.relative_to(ROOT)}"
    for top in ("src", "tests", "benchmarks", "docs", "examples")
    for path in (ROOT / top).rglob("*.py")
    if "node_modules" not in path.parts
]


def reference(page: str) -> str:
    return (DOCS / "reference" / f"{page}.md").read_text()


def row_of(page: str, first: str) -> list[str]:
    """The cells of the table row that begins with `first` in backticks."""
    for line in reference(page).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == f"`{first}`":
            return cells
    raise AssertionError(f"{page}.md has no row for {first}: run `make docs`")


def test_generated_parts_are_up_to_date() -> None:
    command = [sys.executable, "-m", "docs.generate", "--check"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, f"run `make docs`:\n{ended.stdout}{ended.stderr}"


@pytest.mark.parametrize("field", fields(Settings), ids=lambda field: field.name)
def test_every_setting_is_documented(field: Any) -> None:
    _, _, default, doc = row_of("settings", field.name.upper())
    assert doc == field.metadata["doc"]
    value = field.metadata["default"]
    if not callable(value) and value not in (None, "", ()):
        shown = ",".join(value) if isinstance(value, tuple) else str(value).removesuffix(".0").lower()
        assert default == f"`{shown}`"


@pytest.mark.parametrize("kind", all_problems(), ids=lambda kind: kind.slug)
def test_every_problem_is_documented(kind: Any) -> None:
    cells = row_of("problems", f"/problems/{kind.slug}")
    assert cells[1:3] == [str(kind.status), kind.title]


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        ("events", EventType),
        *(("records", kind) for kind in (UploadStatus, FileStatus, StepState, Stage, JobState, AttemptOutcome)),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_every_status_and_event_is_documented(page: str, kind: type[Enum]) -> None:
    for value in kind:
        assert len(row_of(page, value.value)[1]) > 3, f"{value} has no meaning"


@pytest.mark.parametrize("moves", [UPLOAD_TRANSITIONS, FILE_TRANSITIONS], ids=["uploads", "files"])
def test_exactly_the_legal_transitions_are_documented(moves: Any) -> None:
    for state, targets in moves.items():
        pattern = rf"^\| `{state.value}` \| (end|`[\w`, ]+`) \|$"
        said = re.findall(pattern, reference("records"), re.MULTILINE)
        assert [set(re.findall(r"`(\w+)`", cell)) for cell in said] == [{target.value for target in targets}]


@pytest.mark.parametrize("step", registry.installed().values(), ids=lambda step: step.about.name)
def test_every_step_is_documented(step: Any) -> None:
    _, found, section = reference("steps").partition(f"## `{step.about.name}`\n")
    assert found
    section = section.partition("\n##")[0]
    for word in [step.about.title, step.about.stage, *step.about.gives, *(made.name for made in step.about.makes)]:
        assert word in section


@pytest.mark.parametrize("field", fields(Profile), ids=lambda field: field.name)
def test_asvs_5_1_1_every_rule_for_accepted_files_is_documented(field: Any) -> None:
    said = reference("profiles").partition("<!-- end -->")[2]
    assert field.name == "name" or f"`{field.name}`" in said


def commands(group: Any, prefix: str = "windlass") -> list[tuple[str, Any]]:
    found = []
    for name, command in group.commands.items():
        path = f"{prefix} {name}"
        found += commands(command, path) if hasattr(command, "commands") else [(path, command)]
    return found


@pytest.mark.parametrize(("path", "command"), commands(typer.main.get_command(app)), ids=lambda value: str(value))
def test_every_command_is_documented(path: str, command: Any) -> None:
    match = re.search(rf"^## `{path}\b[^\n]*\n(.*?)(?=^##|\Z)", reference("cli"), re.MULTILINE | re.DOTALL)
    assert match
    for parameter in command.params:
        if not getattr(parameter, "hidden", False) and parameter.param_type_name == "option":
            assert f"`{parameter.opts[0]}`" in match[1]


DECISIONS = sorted((DOCS / "decisions").glob("*.md"))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_every_decision_ends_with_the_rejected_alternatives(page: Path) -> None:
    text = page.read_text()
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+", page.stem)
    assert text.startswith(f"# {page.stem[:4]} ")
    assert headings[-1] == "Rejected"
    assert len(text.splitlines()) <= 60


def test_the_index_lists_every_page() -> None:
    index = (DOCS / "README.md").read_text()
    for page in DOCS.glob("*/*.md"):
        assert f"({page.relative_to(DOCS).as_posix()})" in index


@pytest.mark.parametrize("page", PAGES, ids=markdown_pages.name)
def test_relative_links_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", markdown_pages.prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{target} does not exist"
        assert not anchor or anchor in anchors(linked), f"{target} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=markdown_pages.name)
def test_modules_that_a_page_names_exist(page: Path) -> None:
    """Modules are named from the root of the repository, from ``src/windlass`` or from a directory within it."""
    named = re.findall(r"`([a-z_0-9/]+\.py)`", page.read_text())
    assert [name for name in named if not any(path.endswith(f"/{name}") for path in MODULES)] == []


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", markdown_pages.prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=markdown_pages.name)
def test_blocks_are_of_known_kinds_and_well_formed(page: Path) -> None:
    for fence in markdown_pages.fences(page):
        assert fence.language in RUN | NOT_RUN, "say what it is; `text` is not run"
        if fence.language == "json":
            json.loads(fence.text)
        elif fence.language == "toml":
            tomllib.loads(fence.text)


@pytest.mark.parametrize("page", PAGES, ids=markdown_pages.name)
def test_pages_have_no_placeholders(page: Path) -> None:
    assert not re.search(r"\b(TODO|FIXME|TBD|XXX)\b", page.read_text())


def test_the_readme_names_existing_make_targets() -> None:
    text = (ROOT / "README.md").read_text()
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for command in re.findall(r"(?:`|\$ )make ([a-z-]+)", text):
        assert command in targets
    assert "make serve" in text
    assert "make test" in text


@pytest.mark.parametrize("picture", sorted((DOCS / "images").glob("*.svg")), ids=lambda path: path.name)
def test_pictures_are_well_formed_and_readable_in_dark_mode(picture: Path) -> None:
    from xml.etree import ElementTree

    text = picture.read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "prefers-color-scheme: dark" in text


def test_the_readme_of_a_wheel_has_no_broken_link() -> None:
    """As built by pyproject.toml: outside the checkout a relative link is broken."""
    described = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["tool"]["hatch"]["metadata"]["hooks"]
    text = (DOCS.parent / "README.md").read_text()
    for change in described["fancy-pypi-readme"]["substitutions"]:
        text, count = re.subn(change["pattern"], change["replacement"], text)
        assert count, change
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert links
    assert all(link.startswith("https://") for link in links), links
