"""Counts that processes share: each adds to its own row and sees the sums of the others."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from windlass.kernel.shared_counts import SharedCounts, create_table


@pytest.fixture
def table() -> Iterator[int]:
    descriptor = create_table(3)
    yield descriptor
    os.close(descriptor)


def member(table: int, number: int) -> SharedCounts:
    counts = SharedCounts()
    counts.share(table, number)
    return counts


def test_each_process_sees_the_counts_of_all_others(table: int) -> None:
    first, second, third = (member(table, number) for number in (1, 2, 3))
    first.add("192.0.2.1", 2)
    second.add("192.0.2.1", 3)
    first.add("192.0.2.7", 1)
    assert [each.of_others("192.0.2.1") for each in (first, second, third)] == [3, 2, 5]
    assert third.of_others("192.0.2.7") == 1
    assert third.of_others("192.0.2.2") == 0
    second.add("192.0.2.1", -3)
    assert first.of_others("192.0.2.1") == 0


def test_a_restarted_process_begins_with_nothing(table: int) -> None:
    first, second = member(table, 1), member(table, 2)
    first.add("192.0.2.1", 9)
    second.add("192.0.2.1", 1)
    assert member(table, 1).of_others("192.0.2.1") == 1
    assert second.of_others("192.0.2.1") == 0


def test_a_process_that_shares_nothing_counts_nothing_of_others() -> None:
    alone = SharedCounts()
    alone.add("192.0.2.1", 4)
    assert alone.of_others("192.0.2.1") == 0


def test_tables_place_addresses_differently(table: int) -> None:
    other = create_table(2)
    slots = {member(each, 1)._slot(f"192.0.2.{number}") for each in (table, other) for number in range(100)}
    os.close(other)
    assert len(slots) > 150
