"""The store over a Django storage. An unfinished object is a staged file on this machine, and not in the storage."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from windlass.storage.contract import ObjectInfo, ObjectMissing, State, Store, StoreError, check_key
from windlass.storage.django_storage import saved_objects
from windlass.storage.django_storage.gateway import Gateway, StorageName
from windlass.storage.django_storage.saved_objects import open_object
from windlass.storage.django_storage.staging import StagedWriter, Staging, save
from windlass.storage.local import LocalStore
from windlass.storage.registry import Guard, guarded, no_guard

if TYPE_CHECKING:
    from windlass.conf import Settings


def from_settings(settings: Settings) -> DjangoStore:
    """Raises StoreError if the storage or the staging directory cannot be opened."""
    if not settings.django_storage:
        raise StoreError("STORAGE_BACKEND is django, but DJANGO_STORAGE names no storage.")
    name = StorageName(settings.django_storage, json.loads(settings.django_storage_options or "{}"))
    return DjangoStore(name, settings.staging_directory, guarded)


class DjangoStore(Store):
    """See ``contract.Store``. Thread-safe; processes may share the staging directory.

    If an object is staged, the staged bytes are the newer ones; otherwise the storage has it.
    """

    name = "django"

    def __init__(self, storage: StorageName, staging: Path, guard: Guard = no_guard) -> None:
        self._staging = Staging(staging)
        self._staging_directory = staging
        self._gateway = Gateway(storage, lambda: guard(self.name))
        self.capabilities = replace(
            LocalStore.capabilities, local_files=self._gateway.is_local, remote=not self._gateway.is_local
        )

    def create(
        self, key: str, *, durable: bool = True, at_most: int | None = None, chunk_size: int | None = None
    ) -> State:
        return self._staging.marked(self._staging.create(key, durable=durable))

    def open_writer(
        self, key: str, state: State, *, shared: bool = False, region: tuple[int, int] | None = None
    ) -> StagedWriter:
        self._staging.require_here(key, state)
        try:
            inner = self._staging.open_writer(key, state, shared=shared, region=region)
        except ObjectMissing:
            self._stage_saved(key)
            inner = self._staging.open_writer(key, state, shared=shared, region=region)
        return StagedWriter(
            self._staging, inner, self.open, lambda own, size, durable: self.complete(key, own, size, durable=durable)
        )

    def complete(
        self, key: str, state: State, size: int, *, durable: bool = True, chunks: Sequence[State] = ()
    ) -> None:
        """Costs as much as saving: a remote storage receives every byte now."""
        self._staging.require_here(key, state)
        try:
            self._staging.complete(key, state, size, durable=durable)
        except ObjectMissing:
            self._require_saved(key, size)  # completed before; the reply was lost
            return
        self._save(key, key, size)

    def discard(self, key: str, state: State) -> int:
        return self._staging.delete(key) + self.delete(key)

    def clear(self, key: str) -> int:
        return self._staging.delete(key)

    def put(self, key: str, source: BinaryIO, size: int) -> None:
        staged = f".put-{secrets.token_hex(8)}"  # an ordinary key: the sweep finds it after a crash
        try:
            self._staging.put(staged, source, size)
            self._save(check_key(key), staged, size)
        finally:
            with suppress(StoreError):
                self._staging.delete(staged)

    def open(self, key: str) -> BinaryIO:
        """An object of a remote storage is fetched whole before its first byte can be read."""
        with suppress(ObjectMissing):
            return self._staging.open(key)
        return open_object(self._gateway, key, self._staging_directory)

    def info(self, key: str) -> ObjectInfo:
        with suppress(ObjectMissing):
            return self._staging.info(key)
        return saved_objects.info(self._gateway, key)

    def delete(self, key: str) -> int:
        try:
            size = self._gateway.size(check_key(key))
            with self._gateway.call(key) as storage:
                storage.delete(key)
        except ObjectMissing:
            return 0
        if self._gateway.is_local:
            with suppress(OSError):  # refused while anything is in it
                self._gateway.path(key).parent.rmdir()
        return size

    def objects(self, prefix: str = "", *, unless: Callable[[str], bool] | None = None) -> Iterator[ObjectInfo]:
        """Raises StoreError after the staged objects if the storage cannot list its own."""
        staged = set()
        for info in self._staging.objects(prefix):
            staged.add(info.key)
            yield replace(info, unfinished=True)

        def left_out(key: str) -> bool:
            return key in staged or (unless is not None and unless(key))

        yield from saved_objects.list_objects(self._gateway, prefix, left_out)

    def check(self, *, thorough: bool = False) -> None:
        self._staging.check()
        _probe(self, thorough=thorough)

    def local_path(self, key: str) -> Path | None:
        return self._gateway.path(check_key(key)) if self._gateway.is_local else None

    def _save(self, key: str, staged: str, size: int) -> None:
        save(self._gateway, key, self._staging.local_path(staged), size)
        self._staging.delete(staged)

    def _require_saved(self, key: str, size: int) -> None:
        saved = self._gateway.size(key)
        if saved != size:
            raise StoreError(f"{key}: it has {saved} bytes instead of {size}")

    def _stage_saved(self, key: str) -> None:
        """Stage a saved object again. Raises ObjectMissing.

        Needed when a process died between saving and recording: the client sends the last bytes again.
        """
        with open_object(self._gateway, check_key(key), self._staging_directory) as saved:
            size = self._gateway.size(key)
            self._staging.put(key, saved, size)


def _probe(store: Store, *, thorough: bool) -> None:
    """Save, replace, read and delete an object. Raises StoreError with the reason."""
    key = f"{saved_objects.CHECK_PREFIX}{secrets.token_hex(8)}"
    try:
        _require_kept(store, key, secrets.token_bytes(64))
        if thorough:
            _require_kept(store, key, secrets.token_bytes(32))  # replaces the first
            _require_deleted(store, key)
    except StoreError as error:
        raise type(error)(_with_cause(error)) from error
    finally:
        with suppress(StoreError):
            store.delete(key)


def _require_kept(store: Store, key: str, data: bytes) -> None:
    store.put(key, io.BytesIO(data), len(data))
    with store.open(key) as stored:
        if stored.read() != data:
            raise StoreError("The storage does not return what was saved in it.")


def _require_deleted(store: Store, key: str) -> None:
    store.delete(key)
    with suppress(ObjectMissing):
        store.info(key)
        raise StoreError("The storage still has what was deleted.")


def _with_cause(error: StoreError) -> str:
    """Add the library's own message, which an operator who runs the check may see."""
    cause = error.__cause__
    return str(error) if cause is None else " ".join(f"{error}: {cause}".split())[:300]
