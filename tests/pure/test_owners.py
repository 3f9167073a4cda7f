"""Sets of owners behave as sets do, also where they are all but a few."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.kernel.owners import Owners

NAMES = ["user:1", "user:2", "jwt:a", ""]
SETS = st.builds(Owners, st.frozensets(st.sampled_from(NAMES)), st.booleans())


@given(SETS, SETS, st.sampled_from([*NAMES, "user:3"]))
def test_operations_say_of_every_owner_what_sets_say(first: Owners, second: Owners, name: str) -> None:
    has = (name in first, name in second)
    assert (name in first | second) == any(has)
    assert (name in first & second) == all(has)
    assert (name in first - second) == (has[0] and not has[1])
    assert (name in ~first) != has[0]


@given(SETS, st.frozensets(st.sampled_from(NAMES)))
def test_a_plain_set_may_be_the_other_operand(owners: Owners, names: frozenset[str]) -> None:
    assert owners | names == names | owners == owners | Owners(names)
    assert owners & set(names) == names & owners == owners & Owners(names)
    assert owners - list(names) == owners - Owners(names)


@pytest.mark.parametrize("value", [None, True, "user:1", {1}, 5, {"user:1": 1}])
def test_nothing_else_is_a_set_of_owners(value: Any) -> None:
    with pytest.raises(TypeError):
        Owners.of(value)
