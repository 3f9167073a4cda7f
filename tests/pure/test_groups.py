"""`python -m tests` runs every test file, whichever directory it is in."""

from __future__ import annotations

from tests.__main__ import TESTS, Group, fast_groups, last_groups, other_groups


def files_of(groups: list[Group]) -> set[str]:
    paths = [path for group in groups for path in group.paths]
    files = [file for path in paths for file in (path.rglob("test_*.py") if path.is_dir() else [path])]
    return {file.relative_to(TESTS).as_posix() for file in files if "node_modules" not in file.parts}


def test_every_test_file_belongs_to_a_group() -> None:
    written = files_of([Group([TESTS])])
    assert files_of([*fast_groups(), *other_groups(), *last_groups()]) == written


def test_the_fast_part_and_its_complement_are_the_same_files() -> None:
    fast = files_of([group for group in fast_groups() if group.options])
    rest = files_of([*other_groups(), *last_groups()])
    assert fast - rest == {"contract/test_local_store.py"}
