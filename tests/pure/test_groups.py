"""`python -m tests` runs every test file, whichever directory it is in."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import __main__ as runner
from tests.__main__ import (
    BROWSER,
    MODEL,
    TESTS,
    Group,
    GroupResult,
    WaitingGroups,
    fast_groups,
    last_groups,
    other_groups,
)


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
    models = {file.relative_to(TESTS).as_posix() for file in MODEL.glob("test_*.py")}
    assert fast - rest == {"contract/test_local_store.py", *models}


def test_no_file_belongs_to_two_groups_of_the_same_part() -> None:
    for groups in (fast_groups(), [*other_groups(), *last_groups()]):
        paths = [path for group in groups for path in group.paths]
        assert len(paths) == len(set(paths))


def test_each_large_file_of_browser_tests_is_a_group_and_few_of_them_run_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    browsers = [group for group in other_groups() if group.starts_browsers]
    (small,) = [group for group in browsers if len(group.paths) > 1]
    assert all(path.stat().st_size < runner.SMALL_IN_BROWSER for path in small.paths)
    assert len(browsers) - 1 + len(small.paths) == len(list(BROWSER.glob("test_*.py")))

    monkeypatch.setattr(runner, "BROWSER_GROUPS", 1)
    lock, other_ran, running, most, order = threading.Lock(), threading.Event(), 0, 0, []

    def run(group: Group) -> GroupResult:
        nonlocal running, most
        with lock:
            running += group.starts_browsers
            most = max(most, running)
            order.append(group)
        if group.starts_browsers:
            other_ran.wait(10)
        else:
            other_ran.set()
        with lock:
            running -= group.starts_browsers
        return GroupResult(group, 0, "1 passed", 0.0)

    monkeypatch.setattr(Group, "run", run)
    groups = [*browsers[:3], Group([TESTS / "pure"])]
    waiting = WaitingGroups(groups)
    with ThreadPoolExecutor(3) as pool:
        done = [future.result().group for future in [pool.submit(waiting.run_next) for _ in groups]]
    assert (most, {group.name for group in done}) == (1, {group.name for group in groups})
    assert order[1].paths == [TESTS / "pure"], "what starts no browser goes first meanwhile"


@pytest.mark.parametrize("after", ["", "Exception ignored in: <socket.socket fd=49>\nResourceWarning: unclosed\n"])
def test_counts_are_those_of_the_summary(after: str) -> None:
    """The interpreter prints warnings of what is not closed after pytest has ended."""
    output = f"..F\nE   assert 7 passed\n1 failed, 692 passed, 536 deselected in 84.41s (0:01:24)\n{after}"
    result = GroupResult(Group([TESTS / "pure"]), 1, output, 85.0)
    assert result.counts == {"failed": 1, "passed": 692, "deselected": 536}
    assert result.may_be_repeated
