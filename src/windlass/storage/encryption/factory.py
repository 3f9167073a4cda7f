"""The stores that lie on this machine's side of the network, encrypted where the settings hold a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windlass.kernel import secret_keys
from windlass.storage.contract import Store
from windlass.storage.encryption.keyring import Keyring
from windlass.storage.encryption.store import EncryptedStore

if TYPE_CHECKING:
    from windlass.conf import Settings


def local(settings: Settings) -> EncryptedStore:
    """Raises StoreError."""
    from windlass.storage.local import from_settings

    return _over(from_settings(settings), settings)


def django(settings: Settings) -> EncryptedStore:
    """Raises StoreError."""
    from windlass.storage.django_storage.store import from_settings

    return _over(from_settings(settings), settings)


def _over(inner: Store, settings: Settings) -> EncryptedStore:
    current = secret_keys.parsed(settings.encryption_key) if settings.encryption_key else None
    return EncryptedStore(inner, Keyring(current, [secret_keys.parsed(key) for key in settings.encryption_old_keys]))
