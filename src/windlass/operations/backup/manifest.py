"""What one backup consists of: its summary ``backup.json``, and one line per object in ``objects.jsonl``.

``backup.json`` is written last and names the SHA-256 of the database and of ``objects.jsonl``, which names those of all
objects. A backup without it does not exist yet, or was interrupted.
"""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from windlass import __version__
from windlass.operations.backup.errors import BackupError
from windlass.operations.backup.location import BACKUPS, OBJECTS
from windlass.storage.contract import ObjectMissing, Store

FORMAT = 1
SUMMARY, OBJECT_LIST, SECRET_KEY = "backup.json", "objects.jsonl", "secret-key"
#: Longest ``backup.json`` that is read.
_MAX_SUMMARY = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stored:
    """A part of a backup: its name below ``backups/<id>/``, its size and SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Entry:
    """An object of the backed up server. ``missing``: why the backup does not have it; then ``sha256`` is empty.

    ``version`` tells whether the same key has been written again since (``files.api.NamedObject``).
    """

    store: str
    key: str
    size: int
    sha256: str
    version: str = ""
    missing: str = ""

    def line(self) -> bytes:
        return json.dumps({name: value for name, value in asdict(self).items() if value != ""}).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Backup:
    """The summary of a complete backup. ``stores``: the objects in each. ``copied``: those that are new in
    this backup, and ``copied_bytes`` their size.

    ``migrations``: those of Windlass's apps that the database has, as ``app.name``.
    """

    id: str
    created_at: str
    database_vendor: str
    database_version: str
    database: Stored
    object_list: Stored
    stores: dict[str, int]
    migrations: list[str]
    objects: int = 0
    bytes: int = 0
    missing: int = 0
    copied: int = 0
    copied_bytes: int = 0
    secret_key: Stored | None = None
    format: int = FORMAT
    windlass_version: str = field(default=__version__)

    def key(self, name: str) -> str:
        return f"{BACKUPS}{self.id}/{name}"

    def document(self) -> dict[str, Any]:
        return asdict(self)


def new_backup_id(moment: datetime) -> str:
    """Return an id that sorts by time."""
    return f"{moment:%Y%m%dt%H%M%Sz}-{secrets.token_hex(3)}"


def object_name(sha256: str) -> str:
    """Return the key of an object's bytes in the location."""
    return f"{OBJECTS}{sha256[:2]}/{sha256}"


def write_summary(location: Store, backup: Backup) -> None:
    data = json.dumps(backup.document(), indent=1).encode()
    location.put(backup.key(SUMMARY), io.BytesIO(data), len(data))


def list_backups(location: Store) -> list[Backup]:
    """Return the complete backups, the oldest first. Raises BackupError, StoreError."""
    ids = {info.key.split("/")[1] for info in location.objects(BACKUPS) if info.key.endswith(f"/{SUMMARY}")}
    backups = [read_summary(location, each) for each in ids]
    return sorted(backups, key=lambda backup: datetime.fromisoformat(backup.created_at))


def find_backup(location: Store, backup_id: str | None) -> Backup:
    """Return this backup, or the latest. Raises BackupError, StoreError."""
    if backup_id is not None:
        return read_summary(location, backup_id)
    backups = list_backups(location)
    if not backups:
        raise BackupError("there is no complete backup")
    return backups[-1]


def read_summary(location: Store, backup_id: str) -> Backup:
    try:
        with location.open(f"{BACKUPS}{backup_id}/{SUMMARY}") as file:
            data = json.loads(file.read(_MAX_SUMMARY))
    except ObjectMissing:
        raise BackupError(
            f"there is no backup {backup_id}; `windlass backups list` lists those that there are"
        ) from None
    except ValueError as error:
        raise BackupError(f"{SUMMARY} of the backup {backup_id} is damaged: {error}") from error
    if data.get("format") != FORMAT:
        raise BackupError(
            f"the backup {backup_id} has the format {data.get('format')}; this version of Windlass reads {FORMAT}. "
            f"It was made by version {data.get('windlass_version')}."
        )
    try:
        for name in ("database", "object_list", "secret_key"):
            data[name] = Stored(**data[name]) if data[name] else None
        return Backup(**data)
    except (KeyError, TypeError) as error:
        raise BackupError(f"{SUMMARY} of the backup {backup_id} is damaged: {error}") from error


def read_entries(location: Store, backup: Backup) -> Iterator[Entry]:
    """Yield the objects of a backup, as they are listed. Raises StoreError, BackupError for a line that is damaged."""
    with location.open(backup.key(OBJECT_LIST)) as file:
        for line in file:
            yield parse_entry(line, backup.id)


def parse_entry(line: bytes, backup_id: str) -> Entry:
    try:
        return Entry(**({"sha256": ""} | json.loads(line)))
    except (ValueError, TypeError) as error:
        raise BackupError(f"{OBJECT_LIST} of the backup {backup_id} is damaged: {error}") from error
