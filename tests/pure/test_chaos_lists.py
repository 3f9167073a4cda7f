"""The lists of faults of a chaos run: the same for the same seed, written and read back, and reduced when they fail."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.faults import KINDS, Fault, choose
from tests.chaos.shrink import shrink
from tests.chaos.system import MODES


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.data())
def test_a_list_is_reduced_to_the_elements_that_matter(items: list[int], data: st.DataObject) -> None:
    """Invariant: what is left fails, and without any of its elements it does not."""
    wanted = set(data.draw(st.lists(st.sampled_from(items), min_size=1, max_size=4)))

    def fails(part: Sequence[int]) -> bool:
        return wanted <= set(part)

    found = shrink(items, fails)
    assert sorted(found) == sorted(wanted)
    positions = iter(items)
    assert all(each in positions for each in found), "they keep their order"


@pytest.mark.parametrize("mode", MODES)
def test_a_seed_always_gives_the_same_faults(mode: str) -> None:
    faults = choose(5, 40, mode, has_disk=False)
    assert faults == choose(5, 40, mode, has_disk=False)
    assert faults != choose(6, 40, mode, has_disk=False)
    assert [Fault.parse(str(fault)) for fault in faults] == faults
    assert all(mode in KINDS[fault.name].modes and not KINDS[fault.name].needs_disk for fault in faults)


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no fault 'flood'"):
        Fault.parse("flood:1")
