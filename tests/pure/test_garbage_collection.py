"""The garbage collector while a process loads its modules."""

from __future__ import annotations

import gc

from windlass.kernel.garbage_collection import loading


def test_nothing_is_collected_while_modules_load() -> None:
    frozen = gc.get_freeze_count()
    with loading():
        with loading():
            assert not gc.isenabled()
        assert not gc.isenabled(), "the outer one is not over"
    assert gc.isenabled()
    assert gc.get_freeze_count() == frozen, "databases that are open at the end of a command are closed by a collection"
