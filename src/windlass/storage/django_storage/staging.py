"""Unfinished objects: files in a staging directory of this machine, and saving them in the storage.

Several machines may share the directory. The storage gets an object only when it is complete, under exactly its key.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from django.core.files import File

from windlass.storage import posix_files
from windlass.storage.contract import ObjectMissing, State, StoreError, StoreUnavailable
from windlass.storage.copying import WrappingWriter
from windlass.storage.django_storage.gateway import Gateway
from windlass.storage.local import LocalStore, LocalWriter

if TYPE_CHECKING:
    BytesFile = File[bytes]
else:
    BytesFile = File

#: The file that holds the id of the staging directory, under a name that no key can have; each state names the id.
_ID_FILE = "STAGING"
_ID_FIELD = "staged_at"
_ATTEMPTS = 8


class Staging(LocalStore):
    """A local store whose states name its directory."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._id = _directory_id(root)

    def marked(self, state: State) -> State:
        return state | {_ID_FIELD: self._id}

    def require_here(self, key: str, state: State) -> None:
        """Raise StoreUnavailable if the object was created in another staging directory."""
        if state.get(_ID_FIELD, self._id) != self._id:
            raise StoreUnavailable(
                f"{key}: it is staged on another machine. Web processes on several machines must share one "
                "DJANGO_STORAGE_STAGING."
            )


class StagedWriter(WrappingWriter):
    """Writes one staged object. What it copies is fetched from the storage first."""

    def __init__(
        self,
        staging: Staging,
        inner: LocalWriter,
        open_source: Callable[[str], BinaryIO],
        complete: Callable[[State, int, bool], None],
    ) -> None:
        """``complete(state, size, durable)`` saves the staged object in the storage."""
        super().__init__(inner, open_source)
        self._staging = staging
        self._complete = complete

    def sync(self, *, durable: bool = True) -> State:
        return self._staging.marked(super().sync(durable=durable))

    def finish(self, size: int, *, durable: bool = True) -> State:
        state = self.sync(durable=False)
        self._complete(state, size, durable)
        return state


def _directory_id(root: Path) -> str:
    """Return the id of the staging directory; the first process creates it."""
    path, new = root / _ID_FILE, secrets.token_hex(8)
    temporary = root / f"{_ID_FILE}-{new}"
    try:
        if not path.exists():
            temporary.write_text(new)
            with suppress(FileExistsError):
                os.link(temporary, path)
        return path.read_text()
    except OSError as error:
        raise StoreUnavailable(f"The staging directory cannot be used: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


class StagedFile(BytesFile):
    """The content that a storage saves. A storage in a file system moves the file instead of copying it."""

    def __init__(self, path: Path, key: str) -> None:
        super().__init__(path.open("rb"), name=key)
        self._path = path

    def temporary_file_path(self) -> str:
        return str(self._path)


def save(gateway: Gateway, key: str, staged: Path, size: int) -> None:
    """Save the file under the key, replacing an object that has it; the file may be moved. Repeatable.

    Raises StoreError if the storage chose another name or has another size.
    """
    _delete_existing(gateway, key)
    name = _save(gateway, key, staged)
    if name != key:
        with gateway.call(name) as storage:
            storage.delete(name)
        raise StoreError(f"{key}: the storage saved it as {name}; it must keep the given name.")
    saved = gateway.size(key)
    if saved != size:
        raise StoreError(f"{key}: the storage has {saved} bytes of it after saving {size}")
    if gateway.is_local:
        _make_durable(gateway.path(key), key)


def _delete_existing(gateway: Gateway, key: str) -> None:
    """A storage that does not overwrite would choose another name."""
    with gateway.call(key) as storage:
        if storage.get_available_name(key) != key:
            storage.delete(key)


def _save(gateway: Gateway, key: str, staged: Path) -> str:
    for attempt in range(_ATTEMPTS):
        try:
            with gateway.call(key) as storage, StagedFile(staged, key) as content:
                return storage.save(key, content)
        except ObjectMissing as error:
            # A concurrent delete may remove the directory while it is still empty.
            if not gateway.is_local or attempt == _ATTEMPTS - 1 or not staged.exists():
                raise StoreUnavailable(f"{key}: the storage has no place for it ({error})") from error.__cause__
    raise AssertionError("unreachable")


def _make_durable(path: Path, key: str) -> None:
    """Sync the file and the directories that were created for it. Raises SyncFailed."""
    with posix_files.store_errors(key):
        _sync(path, posix_files.sync_data)
        for directory, _ in zip(path.parents, key.split("/"), strict=False):
            _sync(directory, posix_files.sync_directory)


def _sync(path: Path, sync: posix_files.Sync) -> None:
    with posix_files.closing(os.open(path, os.O_RDONLY)) as descriptor:
        sync(descriptor)
