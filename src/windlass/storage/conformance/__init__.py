"""Tests that any store must pass, one for each sentence of ``windlass.storage.contract``. Needs pytest.

    # tests/test_my_store.py
    from windlass.storage.conformance import StoreConformance

    class TestMyStore(StoreConformance):
        open_store = staticmethod(MyStore)

``open_store(place)`` opens the store whose bytes are at ``place``: each call gives a new instance over the same bytes.
``place`` is a fixture that a subclass may override (a bucket with a fresh prefix, say); the default is a new directory.
Both are handed to a second process, so they must be picklable: ``open_store`` is a class or a module's function.
``pytest.register_assert_rewrite("windlass.storage.conformance")`` in conftest.py makes failures show their values.
"""

from windlass.storage.conformance.copying import Copying
from windlass.storage.conformance.finished import FinishedObjects
from windlass.storage.conformance.parts import Parts
from windlass.storage.conformance.unfinished import UnfinishedObjects
from windlass.storage.conformance.writers import Writers

__all__ = ["StoreConformance"]


class StoreConformance(UnfinishedObjects, Writers, FinishedObjects, Copying, Parts):
    """Subclass it, set ``open_store``, and run pytest."""
