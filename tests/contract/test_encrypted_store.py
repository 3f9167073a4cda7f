"""The encrypting store over others: the suite that every store passes, and what the raw bytes give away."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract import test_django_store as django_stores
from windlass.storage.conformance import StoreConformance
from windlass.storage.encryption.keyring import Keyring
from windlass.storage.encryption.store import EncryptedStore
from windlass.storage.local import LocalStore

KEY_ONE, KEY_TWO = bytes(range(32)), bytes(range(32, 64))


def over_local(place: Path) -> EncryptedStore:
    return EncryptedStore(LocalStore(place), Keyring(KEY_ONE))


def over_django(place: django_stores.Place) -> EncryptedStore:
    return EncryptedStore(django_stores.open_store(place), Keyring(KEY_ONE))


def over_local_without_a_key(place: Path) -> EncryptedStore:
    return EncryptedStore(LocalStore(place), Keyring())


class TestOverTheLocalStore(StoreConformance):
    open_store = staticmethod(over_local)


class TestOverADjangoStore(StoreConformance):
    open_store = staticmethod(over_django)

    @pytest.fixture
    def place(self, tmp_path: Path) -> django_stores.Place:
        return django_stores.in_files(tmp_path)


class TestWithoutAKey(StoreConformance):
    """As the local store is when nothing is set."""

    open_store = staticmethod(over_local_without_a_key)
