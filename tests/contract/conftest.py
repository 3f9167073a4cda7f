import pytest

pytest.register_assert_rewrite("windlass.storage.conformance")
