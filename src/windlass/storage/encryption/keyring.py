"""The keys that a store's objects can be read by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from windlass.storage.contract import StoreError

if TYPE_CHECKING:
    from windlass.storage.encryption.keys import MasterKey


class Keyring:
    """``current``: what new objects are encrypted under; without it they are not."""

    def __init__(self, current: bytes | None = None, old: Sequence[bytes] = ()) -> None:
        """Raises StoreError where there are keys and the library is not installed."""
        made = [_master(key) for key in ([] if current is None else [current]) + list(old)]
        self.current = None if current is None else made[0]
        self._known = {key.id: key for key in made}

    def __bool__(self) -> bool:
        """Whether it holds any key."""
        return bool(self._known)

    def find(self, key_id: bytes) -> MasterKey | None:
        return self._known.get(key_id)


def _master(key: bytes) -> MasterKey:
    try:
        from windlass.storage.encryption.keys import MasterKey
    except ImportError as error:
        raise StoreError("ENCRYPTION_KEY needs the library `cryptography`: install windlass[encryption].") from error
    return MasterKey(key)
