"""Objects in a storage of Django's. An unfinished one is staged: a file of this machine, and nothing in the storage."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from windlass.storage.contract import ObjectInfo, ObjectMissing, State, Store, StoreError
from windlass.storage.django_storage import listing, names, probe
from windlass.storage.django_storage.door import Door
from windlass.storage.django_storage.opening import Named
from windlass.storage.django_storage.reading import open_object
from windlass.storage.django_storage.saving import remove_empty_directory, save
from windlass.storage.django_storage.staging import Staging
from windlass.storage.django_storage.writer import StagedWriter
from windlass.storage.local import LocalStore
from windlass.storage.registry import Guard, guarded, no_guard

if TYPE_CHECKING:
    from windlass.conf import Settings


def from_settings(settings: Settings) -> DjangoStore:
    """Raises StoreError where the storage, or the staging directory, cannot be opened."""
    if not settings.django_storage:
        raise StoreError("Files lie in a Django storage, but DJANGO_STORAGE does not say in which.")
    named = Named(settings.django_storage, json.loads(settings.django_storage_options or "{}"))
    return DjangoStore(named, settings.staging_directory, guarded)


class DjangoStore(Store):
    """See ``contract.Store``. Any number of threads may use one, and processes that share the staging directory.

    Where an object is staged, the staged bytes are the newer ones; else the storage has it.
    """

    name = "django"

    def __init__(self, named: Named, staging: Path, guard: Guard = no_guard) -> None:
        self._staging = Staging(staging)
        self._room = staging
        self._door = Door(named, lambda: guard(self.name))
        self.capabilities = replace(LocalStore.capabilities, local_files=self._door.is_local)

    def create(
        self, key: str, *, durable: bool = True, at_most: int | None = None, chunk_size: int | None = None
    ) -> State:
        return self._staging.marked(self._staging.create(key, durable=durable))

    def open_writer(
        self, key: str, state: State, *, shared: bool = False, region: tuple[int, int] | None = None
    ) -> StagedWriter:
        self._staging.must_be_here(key, state)
        try:
            inner = self._staging.open_writer(key, state, shared=shared, region=region)
        except ObjectMissing:
            self._stage_again(key)
            inner = self._staging.open_writer(key, state, shared=shared, region=region)
        return StagedWriter(
            self._staging,
            inner,
            self.open,
            lambda own, size, durable: self.complete(key, own, size, durable=durable),
        )

    def complete(
        self, key: str, state: State, size: int, *, durable: bool = True, chunks: Sequence[State] = ()
    ) -> None:
        """Costs what saving costs, which for a storage elsewhere is sending every byte."""
        self._staging.must_be_here(key, state)
        try:
            self._staging.complete(key, state, size, durable=durable)
        except ObjectMissing:
            self._must_have(key, size)  # completed before, and nobody heard of it
            return
        self._save(key, key, size)

    def discard(self, key: str, state: State) -> int:
        return self._staging.delete(key) + self.delete(key)

    def clear(self, key: str) -> int:
        return self._staging.delete(key)

    def put(self, key: str, source: BinaryIO, size: int) -> None:
        staged = f".put-{secrets.token_hex(8)}"  # a key like any other: the sweep finds it after a crash
        try:
            self._staging.put(staged, source, size)
            self._save(names.checked(key), staged, size)
        finally:
            with suppress(StoreError):
                self._staging.delete(staged)

    def open(self, key: str) -> BinaryIO:
        """What is not on this machine is fetched whole before the first byte of it can be read."""
        with suppress(ObjectMissing):
            return self._staging.open(key)
        return open_object(self._door, key, self._room)

    def info(self, key: str) -> ObjectInfo:
        with suppress(ObjectMissing):
            return self._staging.info(key)
        return listing.info(self._door, key)

    def delete(self, key: str) -> int:
        try:
            size = self._door.size(names.checked(key))
            with self._door.call(key) as storage:
                storage.delete(key)
        except ObjectMissing:
            return 0
        if self._door.is_local:
            remove_empty_directory(self._door.path(key))
        return size

    def objects(self, prefix: str = "", *, unless: Callable[[str], bool] | None = None) -> Iterator[ObjectInfo]:
        """Raises StoreError, after what is staged here, where the storage does not tell what it has."""
        staged = set()
        for found in self._staging.objects(prefix):
            staged.add(found.key)
            yield replace(found, unfinished=True)

        def left_out(key: str) -> bool:
            return key in staged or (unless is not None and unless(key))

        yield from listing.listed(self._door, prefix, left_out)

    def check(self, *, thorough: bool = False) -> None:
        self._staging.check()
        probe.check(self, thorough=thorough)

    def local_path(self, key: str) -> Path | None:
        return self._door.path(names.checked(key)) if self._door.is_local else None

    def _save(self, key: str, staged: str, size: int) -> None:
        save(self._door, key, self._staging.local_path(staged), size)
        self._staging.delete(staged)

    def _must_have(self, key: str, size: int) -> None:
        there = self._door.size(key)
        if there != size:
            raise StoreError(f"{key}: {there} bytes are there, {size} are to be")

    def _stage_again(self, key: str) -> None:
        """A process died after saving the object and before recording that, and its last bytes come once more.

        Raises ObjectMissing.
        """
        with open_object(self._door, names.checked(key), self._room) as saved:
            size = self._door.size(key)
            self._staging.put(key, saved, size)
