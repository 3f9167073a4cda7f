"""A file with all the rows that its record is made of: a few prepared statements, whatever the number of files."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import Model

from windlass.database import rows
from windlass.files.models import Blob, FileAsset, Rendition, StepRun
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import NotFound

M = TypeVar("M", bound=Model)
R = TypeVar("R", Rendition, StepRun)


@dataclass(frozen=True, slots=True)
class FileRows:
    """``renditions`` are sorted by their names, ``steps`` by their positions; the steps are those of every run."""

    asset: FileAsset
    renditions: Sequence[Rendition]
    steps: Sequence[StepRun]

    @property
    def steps_of_run(self) -> Sequence[StepRun]:
        """The steps of the present run, in order."""
        return [step for step in self.steps if step.run == self.asset.run]


def get_file_with_rows(file_id: uuid.UUID, principal: Principal) -> FileRows:
    """As ``assets.get_file``, with its rows."""
    return files_with_rows([_get(file_id, principal)])[0]


def get_file_with_steps(file_id: uuid.UUID, principal: Principal) -> FileRows:
    """As ``assets.get_file``, with its steps alone."""
    asset = _get(file_id, principal)
    return FileRows(asset, [], _among(StepRun, "file_id", [asset.id], order=["position"]))


def find_files_with_rows(ids: Sequence[uuid.UUID]) -> list[FileRows]:
    """The files with these ids, in this order, without those that are deleted. Access is not checked.

    Without the pictures of pages: lists would be several times as long, and no reader of one shows them.
    """
    found = {asset.id: asset for asset in _among(FileAsset, "id", ids)}
    return files_with_rows([found[file_id] for file_id in ids if file_id in found], with_pages=False)


def files_with_rows(assets: Sequence[FileAsset], *, with_pages: bool = True) -> list[FileRows]:
    blobs = {row.id: row for row in _among(Blob, "id", _ids(asset.blob_id for asset in assets))}
    copied = _ids(asset.duplicate_of_id for asset in assets)
    originals = {row.id: row for row in _among(FileAsset, "id", copied)}
    for asset in assets:
        asset.blob = blobs.get(asset.blob_id) if asset.blob_id else None
        asset.duplicate_of = originals.get(asset.duplicate_of_id) if asset.duplicate_of_id else None
    ids = [asset.id for asset in assets]
    others = {} if with_pages else {"kind": rows.NoneOf(["page"])}
    renditions = _by_file(_among(Rendition, "file_id", ids, order=["name"], **others))
    steps = _by_file(_among(StepRun, "file_id", ids, order=["position"]))
    return [FileRows(asset, renditions[asset.id], steps[asset.id]) for asset in assets]


def _get(file_id: uuid.UUID, principal: Principal) -> FileAsset:
    asset = rows.find(FileAsset, id=file_id, trashed_at=None)
    if asset is None or not principal.may_access(asset.owner):
        raise NotFound(f"There is no file {file_id}.")
    return asset


def _among(model: type[M], name: str, values: Sequence[Any], *, order: Sequence[str] = (), **where: Any) -> list[M]:
    """The rows whose field ``name`` has one of these values."""
    wanted: dict[str, Any] = {name: rows.OneOf(values), **where}
    return rows.select(model, order=order, **wanted) if values else []


def _ids(found: Iterable[uuid.UUID | None]) -> list[uuid.UUID]:
    return list({each for each in found if each is not None})


def _by_file(found: Iterable[R]) -> defaultdict[uuid.UUID, list[R]]:
    by_file: defaultdict[uuid.UUID, list[R]] = defaultdict(list)
    for row in found:
        by_file[row.file_id].append(row)
    return by_file
