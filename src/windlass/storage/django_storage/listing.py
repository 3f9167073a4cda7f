"""What the storage has, directory by directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

from windlass.storage.contract import ObjectInfo, ObjectMissing, StoreError
from windlass.storage.django_storage import names
from windlass.storage.django_storage.door import Door

#: For storages that cannot tell. Nothing may conclude from it that an object is old.
UNKNOWN = datetime.fromtimestamp(0, UTC)


class CannotList(StoreError):
    """The storage does not tell what it has, or not when it was stored."""


def listed(door: Door, prefix: str, leave_out: Callable[[str], bool]) -> Iterator[ObjectInfo]:
    """Raises CannotList, StoreError. ``leave_out``: keys that no more is asked of."""
    for key in _keys(door, prefix):
        if not leave_out(key):
            with suppress(ObjectMissing):  # deleted since the directory was read
                yield ObjectInfo(key, door.size(key), _modified_at(door, key))


def info(door: Door, key: str) -> ObjectInfo:
    """Raises ObjectMissing."""
    size = door.size(key)
    try:
        return ObjectInfo(key, size, _modified_at(door, key))
    except CannotList:
        return ObjectInfo(key, size, UNKNOWN)


def _keys(door: Door, prefix: str) -> Iterator[str]:
    waiting = names.tops(prefix)
    while waiting:
        here = waiting.pop()
        directories, files = _entries(door, here)
        for name in files:
            key = f"{here}/{name}"
            if key.startswith(prefix) and names.is_one(key):
                yield key
        below = (f"{here}/{name.rstrip('/')}" for name in directories)
        waiting += [path for path in below if names.is_one(path) and _may_hold(path, prefix)]


def _may_hold(directory: str, prefix: str) -> bool:
    return f"{directory}/".startswith(prefix) or prefix.startswith(f"{directory}/")


def _entries(door: Door, directory: str) -> tuple[list[str], list[str]]:
    try:
        with door.call(directory) as storage:
            try:
                directories, files = storage.listdir(directory)
            except NotImplementedError as error:
                raise CannotList("The storage does not tell what it has.") from error
            return list(directories), list(files)
    except ObjectMissing:
        return [], []


def _modified_at(door: Door, key: str) -> datetime:
    with door.call(key) as storage:
        try:
            found = storage.get_modified_time(key)
        except NotImplementedError as error:
            raise CannotList("The storage does not tell when it stored something.") from error
    return found if found.tzinfo else found.astimezone()  # a project without time zones has local ones
