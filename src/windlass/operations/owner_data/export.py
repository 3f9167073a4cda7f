"""Export everything that is stored of one owner: a directory with the rows as JSON lines, and the files.

owner.json                      who, and when it was exported
records/files.jsonl …           one file for each kind of row, without secrets
records/audit.jsonl             what the owner did, and what others did to the owner's records
files/ID/NAME                   the bytes of each file
files/ID/renditions/NAME        its thumbnails, previews, text
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import QuerySet

from windlass.accounts import api as accounts
from windlass.events import api as events
from windlass.files.api import FileAsset, open_blob
from windlass.kernel.clock import now, rfc3339
from windlass.kernel.filenames import clean
from windlass.operations.owner_data.records import owner_rows
from windlass.storage.contract import StoreError
from windlass.storage.registry import store

#: Columns that are secrets, or serve the server's own work on unfinished uploads.
_LEFT_OUT = frozenset(
    {
        *("digest", "handle", "password_mark", "proof", "secret", "old_secret"),
        *("answer_body", "answer_headers", "store_state"),
    }
)
_COPY_BYTES = 1024 * 1024


class ExportError(Exception):
    """The export cannot be written there. The message says why."""


@dataclass(slots=True)
class ExportReport:
    """``unread``: why the bytes of a file could not be read, by its id."""

    owner: str
    rows: dict[str, int] = field(default_factory=dict)
    files: int = 0
    bytes: int = 0
    unread: dict[str, str] = field(default_factory=dict)


def export_owner(owner: str, directory: Path) -> ExportReport:
    """Write the export into a directory, which is created, or is empty, or has an export that was interrupted: that is
    written anew. Only its owner may read it. Raises ExportError."""
    _prepare(directory, owner)
    report = ExportReport(owner)
    events.record_action(events.AuditAction.OWNER_EXPORTED, owner=owner)
    for name, rows in owner_rows(owner).items():
        report.rows[name] = _write_lines(directory / "records" / f"{name}.jsonl", _documents(rows))
    events.chain_pending()
    audit = events.audit_entries(concerning=owner)
    report.rows["audit"] = _write_lines(directory / "records" / "audit.jsonl", audit)
    for asset in FileAsset.objects.filter(owner=owner).select_related("blob").order_by("id").iterator():
        _write_file(directory / "files" / str(asset.id), asset, report)
    _write_json(directory / "owner.json", _owner_document(owner) | {"complete": True})
    return report


def _prepare(directory: Path, owner: str) -> None:
    """Raises ExportError for a directory with something else in it."""
    mark = directory / "owner.json"
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(directory.iterdir()) and not _is_export_of(mark, owner):
            raise ExportError(f"{directory} is not empty, and is no export of {owner}: name a new directory")
        _write_json(mark, _owner_document(owner) | {"complete": False})
        for part in ("records", "files"):
            shutil.rmtree(directory / part, ignore_errors=True)
            (directory / part).mkdir(mode=0o700)
    except OSError as error:
        raise ExportError(f"{directory} cannot be written: {error.strerror}") from error


def _is_export_of(mark: Path, owner: str) -> bool:
    try:
        return bool(json.loads(mark.read_text()).get("owner") == owner)
    except (OSError, ValueError, AttributeError):
        return False


def _owner_document(owner: str) -> dict[str, Any]:
    user = accounts.user_of(owner)
    document: dict[str, Any] = {"owner": owner, "exported_at": rfc3339(now())}
    if user is not None:
        document |= {"user_name": user.get_username(), "last_login": getattr(user, "last_login", None)}
        document |= {"email": getattr(user, "email", ""), "date_joined": getattr(user, "date_joined", None)}
    return document


def _documents(rows: QuerySet[Any]) -> Iterator[Mapping[str, Any]]:
    for row in rows.order_by("pk").values().iterator():
        yield {name: value for name, value in row.items() if name not in _LEFT_OUT}


def _write_file(directory: Path, asset: FileAsset, report: ExportReport) -> None:
    directory.mkdir(mode=0o700)
    try:
        if asset.blob is not None:
            with open_blob(asset.blob) as source:
                report.bytes += _copy(source, directory / _file_name(asset.original_filename))
            report.files += 1
        for rendition in asset.renditions.all():
            (directory / "renditions").mkdir(mode=0o700, exist_ok=True)
            with store(rendition.store).open(rendition.key) as source:
                report.bytes += _copy(source, directory / "renditions" / _file_name(rendition.name))
    except StoreError as error:
        report.unread[str(asset.id)] = str(error) or type(error).__name__


def _file_name(name: str) -> str:
    """A name that stays in its directory, and that the file system takes: at most 255 bytes."""
    cleaned = clean(name).replace("/", "_").replace("\\", "_")
    while len(cleaned.encode()) > 255:
        cleaned = cleaned[1:]
    return "file" if cleaned in ("", ".", "..", "renditions") else cleaned


def _copy(source: BinaryIO, target: Path) -> int:
    with os.fdopen(_open_private(target), "wb") as file:
        shutil.copyfileobj(source, file, _COPY_BYTES)
        return file.tell()


def _write_lines(path: Path, documents: Iterator[Mapping[str, Any]]) -> int:
    count = 0
    with os.fdopen(_open_private(path), "w", encoding="utf-8") as file:
        for count, document in enumerate(documents, 1):  # noqa: B007  it is the number of lines at the end
            file.write(json.dumps(document, cls=DjangoJSONEncoder) + "\n")
    return count


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    with os.fdopen(_open_private(path), "w", encoding="utf-8") as file:
        json.dump(document, file, cls=DjangoJSONEncoder, indent=2)


def _open_private(path: Path) -> int:
    """A descriptor of a new or emptied file that only its owner may read."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
