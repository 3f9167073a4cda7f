"""Tests that every store must pass, one for each statement of ``windlass.storage.contract``. Needs pytest.

    # tests/test_my_store.py
    from windlass.storage.conformance import StoreConformance

    class TestMyStore(StoreConformance):
        open_store = staticmethod(MyStore)

``open_store(place)`` returns a new instance of the store whose bytes are at ``place``. ``place`` is a fixture that a
subclass may override, for example with a new prefix in a bucket; the default is a new directory. Both are passed to
another process, so they must be picklable: ``open_store`` is a class or a function of a module.
``pytest.register_assert_rewrite("windlass.storage.conformance")`` in conftest.py makes failures show their values.
"""

from windlass.storage.conformance.checkpoints import Checkpoints
from windlass.storage.conformance.finished import FinishedObjects
from windlass.storage.conformance.unfinished import Copying, UnfinishedObjects
from windlass.storage.conformance.writers import Writers

__all__ = ["StoreConformance"]


class StoreConformance(UnfinishedObjects, Writers, FinishedObjects, Copying, Checkpoints):
    """Subclass it, set ``open_store``, and run pytest."""
