"""The backups of a location: what is present, what an interrupted backup left, and pruning."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from windlass.operations.backup import manifest
from windlass.operations.backup.location import BACKUPS, OBJECTS
from windlass.storage.contract import ObjectInfo, Store

_OBJECT = re.compile(rf"{OBJECTS}[0-9a-f]{{2}}/[0-9a-f]{{64}}")
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Pruned:
    """The ids of the backups that were deleted, and the objects that no other backup names, with their bytes."""

    backups: list[str]
    objects: int
    bytes: int


def present_objects(location: Store) -> Iterator[ObjectInfo]:
    """Yield the complete objects; delete what an interrupted backup left of others. Raises StoreError."""
    for info in location.objects(OBJECTS):
        if info.unfinished:
            location.clear(info.key)
        elif _OBJECT.fullmatch(info.key):
            yield info
        else:
            location.delete(info.key)  # a temporary name of the local store


def clear_interrupted(location: Store) -> None:
    """Delete the parts of backups without a summary. Raises StoreError."""
    names: dict[str, list[str]] = {}
    for info in location.objects(BACKUPS):
        if info.unfinished:
            location.clear(info.key)
        else:
            names.setdefault(info.key.split("/")[1], []).append(info.key)
    for keys in names.values():
        if not any(key.endswith(f"/{manifest.SUMMARY}") for key in keys):
            for key in keys:
                location.delete(key)


def prune(location: Store, keep: int) -> Pruned:
    """Delete all backups but the last ``keep``, then the objects that none of these names.

    After an interruption, run it again: a backup goes before its objects. Raises BackupError, StoreError.
    """
    clear_interrupted(location)
    backups = manifest.list_backups(location)
    gone, kept = (backups[:-keep], backups[-keep:]) if keep else (backups, [])
    with closing(_named_digests(location, kept)) as named:
        for backup in gone:
            _delete_backup(location, backup)
        count = freed = 0
        for info in _unnamed_objects(location, named):
            freed += location.delete(info.key)
            count += 1
    return Pruned([backup.id for backup in gone], count, freed)


def _delete_backup(location: Store, backup: manifest.Backup) -> None:
    """Delete the summary first: a backup without it does not count as one."""
    names = [manifest.SUMMARY, manifest.OBJECT_LIST, backup.database.name, manifest.SECRET_KEY]
    for name in names:
        location.delete(backup.key(name))


def _unnamed_objects(location: Store, named: sqlite3.Connection) -> Iterator[ObjectInfo]:
    for info in present_objects(location):
        sha256 = info.key.rpartition("/")[2]
        if named.execute("SELECT 1 FROM named WHERE sha256 = ?", (sha256,)).fetchone() is None:
            yield info


def _named_digests(location: Store, backups: list[manifest.Backup]) -> sqlite3.Connection:
    """Return a temporary database, on disk when it grows, with the SHA-256 of every object that the backups name."""
    database = sqlite3.connect("", isolation_level=None)
    database.execute("CREATE TABLE named (sha256 TEXT PRIMARY KEY) WITHOUT ROWID")
    for backup in backups:
        rows = ((entry.sha256,) for entry in manifest.read_entries(location, backup) if entry.sha256)
        while batch := list(islice(rows, _BATCH)):
            database.executemany("INSERT OR IGNORE INTO named VALUES (?)", batch)
    return database
