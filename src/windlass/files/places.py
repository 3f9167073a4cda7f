"""Where the bytes of a file lie, as its rows say now: they may be moved to another store while the file is in use."""

from __future__ import annotations

from typing import BinaryIO

from windlass import conf
from windlass.files.models import Blob, FileAsset, Rendition, UploadSession
from windlass.files.profiles import profiles
from windlass.storage.contract import ObjectMissing
from windlass.storage.registry import default_name, store


def in_service() -> tuple[str, ...]:
    """The names of the stores that new files may go to or that the settings describe by name, the default one first."""
    of_profiles = sorted({profile.store for profile in profiles().values()})
    return tuple(dict.fromkeys([default_name(), *of_profiles, *conf.named_stores(conf.get())]))


def in_use() -> tuple[str, ...]:
    """The names of all stores in service, and of those where rows say that something lies. Reads whole tables."""
    kinds = (Blob, Rendition, UploadSession)
    of_rows = {name for kind in kinds for name in kind.objects.order_by().values_list("store", flat=True).distinct()}
    return tuple(dict.fromkeys([*in_service(), *sorted(of_rows)]))


def store_of(asset: FileAsset) -> str:
    """The store of what is made of the file: that of its bytes. Asks the database."""
    found = Blob.objects.filter(files=asset.id).values_list("store", flat=True).first()
    return found or default_name()


def open_blob(blob: Blob) -> BinaryIO:
    """The bytes of a blob, which is refreshed where they were moved since its row was read.

    Asks the database where they are not found. Raises ObjectMissing, StoreError.
    """
    try:
        return store(blob.store).open(blob.key)
    except ObjectMissing:
        if not has_moved(blob):
            raise
    return store(blob.store).open(blob.key)


def has_moved(row: Blob | Rendition) -> bool:
    """Whether its bytes lie elsewhere by now than its row said; ``row`` then says where. Asks the database."""
    found = type(row).objects.filter(id=row.id).values_list("store", "key").first()
    if found is None or found == (row.store, row.key):
        return False
    row.store, row.key = found
    return True
