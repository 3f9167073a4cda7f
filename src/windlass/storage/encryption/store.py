"""A store that encrypts objects before it hands them to another store.

The inner store has an encrypted object under its key and ``.enc``; an object without that suffix is plain and was
written before there was a key. So no content that a client sends is mistaken for either, and a server that lost its key
still lists all objects and deletes none.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

from windlass.kernel import secret_keys
from windlass.storage.contract import Buffer, ObjectInfo, ObjectMissing, State, Store, StoreError, Writer
from windlass.storage.copying import WrappingWriter
from windlass.storage.encryption import header
from windlass.storage.encryption.header import Keyring
from windlass.storage.encryption.streams import DecryptingReader, EncryptedSource, EncryptingWriter

if TYPE_CHECKING:
    from windlass.conf import Settings

T = TypeVar("T")

SUFFIX = ".enc"
#: In the state of an unfinished object: its header, and the inner store's own state.
_HEADER, _INNER = "encryption", "inner"


class EncryptedStore(Store):
    """See ``contract.Store``. ``inner`` is a store that is written at any offset, not in parts.

    Without a current key new objects are plain. Without any key it only prevents that an encrypted object counts as
    plain or missing.
    """

    def __init__(self, inner: Store, keyring: Keyring) -> None:
        self._inner = inner
        self._keyring = keyring
        self._key_recorded = False
        self.capabilities = inner.capabilities
        if keyring:
            self.capabilities = replace(inner.capabilities, local_files=False, encrypted=True)

    @property
    def name(self) -> str:
        return self._inner.name

    @name.setter
    def name(self, name: str) -> None:
        self._inner.name = name

    def create(
        self, key: str, *, durable: bool = True, at_most: int | None = None, chunk_size: int | None = None
    ) -> State:
        """The header is part of the state and is written with the first bytes; it is as durable as they are."""
        if self._keyring.current is None:
            return self._inner.create(_check_key(key), durable=durable, at_most=at_most, chunk_size=chunk_size)
        self._record_key()
        raw = header.new(self._keyring.current, key)
        most = None if at_most is None else at_most + header.LENGTH
        return _with_header(
            raw, self._inner.create(_encrypted_name(key), durable=durable, at_most=most, chunk_size=chunk_size)
        )

    def open_writer(
        self, key: str, state: State, *, shared: bool = False, region: tuple[int, int] | None = None
    ) -> Writer:
        if _HEADER not in state:
            plain = self._inner.open_writer(_check_key(key), state, shared=shared, region=region)
            return WrappingWriter(plain, self.open) if self._keyring else plain
        raw = base64.b64decode(state[_HEADER])
        inner_region = None if region is None else (header.LENGTH + region[0], region[1])
        inner = self._inner.open_writer(_encrypted_name(key), state[_INNER], shared=shared, region=inner_region)
        try:
            cipher = header.cipher(raw, key, self._keyring)
            with self._inner.open(_encrypted_name(key)) as stored:
                has_header = stored.read(header.LENGTH) == raw
            if not has_header:
                inner.write(0, [raw])
        except BaseException:  # whatever interrupts it: an open writer would keep the lock
            inner.close()
            raise
        return EncryptingWriter(inner, cipher, lambda own: _with_header(raw, own), self.open)

    def complete(
        self, key: str, state: State, size: int, *, durable: bool = True, chunks: Sequence[State] = ()
    ) -> None:
        if _HEADER not in state:
            self._inner.complete(_check_key(key), state, size, durable=durable, chunks=chunks)
            return
        if size == 0 and self._inner.info(_encrypted_name(key)).size < header.LENGTH:
            self.open_writer(key, state).close()
        own = [chunk.get(_INNER, {}) for chunk in chunks]
        self._inner.complete(_encrypted_name(key), state[_INNER], size + header.LENGTH, durable=durable, chunks=own)

    def put_whole(self, key: str, buffers: Sequence[Buffer], *, durable: bool = True) -> State:
        if self._keyring.current is None:
            return self._inner.put_whole(_check_key(key), buffers, durable=durable)
        return super().put_whole(key, buffers, durable=durable)

    def discard(self, key: str, state: State) -> int:
        if _HEADER in state:
            return _without_header(self._inner.discard(_encrypted_name(key), state[_INNER]))
        return self._inner.discard(_check_key(key), state)

    def clear(self, key: str) -> int:
        return self._inner.clear(_check_key(key)) + _without_header(self._inner.clear(_encrypted_name(key)))

    def put(self, key: str, source: BinaryIO, size: int) -> None:
        """Delete an object of this key in the other form, plain or encrypted."""
        if self._keyring.current is None:
            self._inner.put(_check_key(key), source, size)
            if self._keyring:
                self._inner.delete(_encrypted_name(key))
            return
        self._record_key()
        raw = header.new(self._keyring.current, key)
        encrypted = EncryptedSource(source, raw, header.cipher(raw, key, self._keyring))
        self._inner.put(_encrypted_name(key), cast(BinaryIO, encrypted), size + header.LENGTH)
        self._inner.delete(key)

    def open(self, key: str) -> BinaryIO:
        """Also raises KeyMissing, HeaderDamaged."""
        return self._either_form(key, self._open_encrypted, self._inner.open)

    def info(self, key: str) -> ObjectInfo:
        return self._either_form(key, lambda key: _as_plain(self._inner.info(_encrypted_name(key))), self._inner.info)

    def delete(self, key: str) -> int:
        return self._inner.delete(_check_key(key)) + _without_header(self._inner.delete(_encrypted_name(key)))

    def objects(self, prefix: str = "", *, unless: Callable[[str], bool] | None = None) -> Iterator[ObjectInfo]:
        def left_out(name: str) -> bool:
            return unless is not None and unless(name.removesuffix(SUFFIX))

        for info in self._inner.objects(prefix, unless=left_out):
            plain = _as_plain(info)
            if plain.key.startswith(prefix) and not plain.key.startswith(header.KEY_RECORDS):
                yield plain

    def check(self, *, thorough: bool = False) -> None:
        """``thorough`` also checks that every key ever used in this store is configured."""
        self._inner.check(thorough=thorough)
        if thorough:
            header.check_recorded_keys(self._inner, self._keyring)

    def close(self) -> None:
        self._inner.close()

    def local_path(self, key: str) -> Path | None:
        return None if self._keyring else self._inner.local_path(_check_key(key))

    def _record_key(self) -> None:
        if not self._key_recorded and self._keyring.current is not None:
            header.record_key(self._inner, self._keyring.current)
            self._key_recorded = True

    def _open_encrypted(self, key: str) -> BinaryIO:
        inner = self._inner.open(_encrypted_name(key))
        try:
            return DecryptingReader(inner, header.cipher(inner.read(header.LENGTH), key, self._keyring)).buffered()
        except BaseException:  # whatever interrupts it: the file would stay open
            inner.close()
            raise

    def _either_form(self, key: str, encrypted: Callable[[str], T], plain: Callable[[str], T]) -> T:
        """Try the form of new objects first."""
        forms = (encrypted, plain) if self._keyring.current else (plain, encrypted)
        with suppress(ObjectMissing):
            return forms[0](_check_key(key))
        return forms[1](key)


def _check_key(key: str) -> str:
    """Return the key. Raises StoreError for names that this store uses itself; the inner store checks the rest."""
    if key.endswith(SUFFIX) or key.startswith(header.KEY_RECORDS):
        raise StoreError(f"{key!r} is no key of this store")
    return key


def _encrypted_name(key: str) -> str:
    """Return the name of an encrypted object in the inner store."""
    return _check_key(key) + SUFFIX


def _with_header(raw: bytes, inner: State) -> State:
    return {_HEADER: base64.b64encode(raw).decode(), _INNER: inner}


def _without_header(size: int) -> int:
    return max(0, size - header.LENGTH)


def _as_plain(info: ObjectInfo) -> ObjectInfo:
    """Return the object as users of the store see it."""
    if not info.key.endswith(SUFFIX):
        return info
    return replace(info, key=info.key.removesuffix(SUFFIX), size=_without_header(info.size))


def local(settings: Settings) -> EncryptedStore:
    """Return the store of STORAGE_BACKEND=local. Raises StoreError."""
    from windlass.storage.local import from_settings

    return _encrypting(from_settings(settings), settings)


def django(settings: Settings) -> EncryptedStore:
    """Return the store of STORAGE_BACKEND=django. Raises StoreError."""
    from windlass.storage.django_storage.store import from_settings

    return _encrypting(from_settings(settings), settings)


def _encrypting(inner: Store, settings: Settings) -> EncryptedStore:
    current = secret_keys.parse(settings.encryption_key) if settings.encryption_key else None
    return EncryptedStore(inner, Keyring(current, [secret_keys.parse(key) for key in settings.encryption_old_keys]))
