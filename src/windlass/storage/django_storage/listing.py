"""Keys in the storage, and listing its objects directory by directory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

from windlass.kernel import object_keys
from windlass.storage.contract import ObjectInfo, ObjectMissing, StoreError
from windlass.storage.django_storage.gateway import Gateway

#: The modification time in storages that have none. It does not mean that an object is old.
UNKNOWN_TIME = datetime.fromtimestamp(0, UTC)
#: The key prefix of check objects. Some storages strip a leading dot at the top level.
CHECK_PREFIX = f"{object_keys.OBJECTS}{object_keys.CHECKS}"

_KEY = re.compile(r"[a-z0-9._-]+(?:/[a-z0-9._-]+)*")
#: The directories of Windlass. The storage may hold other files, which the sweep must never see.
_DIRECTORIES = ("encryption", "objects", "renditions")


class CannotList(StoreError):
    """The storage cannot list its objects, or has no modification times."""


def check_key(key: str) -> str:
    """Return the key. Raises StoreError if it is not a key of this store."""
    if not is_key(key) or not {".", ".."}.isdisjoint(key.split("/")):
        raise StoreError(f"{key!r} is no key of this store")
    return key


def is_key(key: str) -> bool:
    return _KEY.fullmatch(key) is not None


def list_objects(gateway: Gateway, prefix: str, leave_out: Callable[[str], bool]) -> Iterator[ObjectInfo]:
    """Raises CannotList, StoreError. ``leave_out``: whether to skip a key before its size and time are requested."""
    for key in _keys(gateway, prefix):
        if not leave_out(key):
            with suppress(ObjectMissing):  # deleted since the directory was read
                yield ObjectInfo(key, gateway.size(key), _modified_at(gateway, key))


def info(gateway: Gateway, key: str) -> ObjectInfo:
    """Raises ObjectMissing."""
    size = gateway.size(key)
    try:
        return ObjectInfo(key, size, _modified_at(gateway, key))
    except CannotList:
        return ObjectInfo(key, size, UNKNOWN_TIME)


def _keys(gateway: Gateway, prefix: str) -> Iterator[str]:
    pending = _start_directories(prefix)
    while pending:
        directory = pending.pop()
        directories, files = _entries(gateway, directory)
        for name in files:
            key = f"{directory}/{name}"
            if key.startswith(prefix) and is_key(key):
                yield key
        below = (f"{directory}/{name.rstrip('/')}" for name in directories)
        pending += [path for path in below if is_key(path) and _may_hold(path, prefix)]


def _start_directories(prefix: str) -> list[str]:
    """Return the directories to search for every object of Windlass whose key starts with ``prefix``."""
    directory = prefix.rpartition("/")[0]
    if not directory:
        return [top for top in _DIRECTORIES if top.startswith(prefix)]
    return [directory] if directory.split("/")[0] in _DIRECTORIES else []


def _may_hold(directory: str, prefix: str) -> bool:
    return f"{directory}/".startswith(prefix) or prefix.startswith(f"{directory}/")


def _entries(gateway: Gateway, directory: str) -> tuple[list[str], list[str]]:
    try:
        with gateway.call(directory) as storage:
            try:
                directories, files = storage.listdir(directory)
            except NotImplementedError as error:
                raise CannotList("The storage cannot list its objects.") from error
            return list(directories), list(files)
    except ObjectMissing:
        return [], []


def _modified_at(gateway: Gateway, key: str) -> datetime:
    with gateway.call(key) as storage:
        try:
            found = storage.get_modified_time(key)
        except NotImplementedError as error:
            raise CannotList("The storage has no modification times.") from error
    return found if found.tzinfo else found.astimezone()  # a project without time zones has local times
