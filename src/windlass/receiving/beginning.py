"""An upload begins: its object in the store, then its row. What the row is refused does not stay in the store."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from windlass.executors import in_thread, in_transaction
from windlass.files import api as files
from windlass.kernel.errors import Problem
from windlass.kernel.ids import new_id
from windlass.receiving import room, writing
from windlass.receiving.admission import object_key
from windlass.storage.contract import State, Store
from windlass.storage.registry import store

Made = TypeVar("Made", bound="files.UploadSession | None")


async def begin(
    new: files.NewUpload, create: Callable[..., Made], make: Callable[[Store, str], State] | None = None
) -> Made:
    """What ``create`` makes of it in one transaction; where that is None, or it raises, the object is gone again.

    ``make`` begins the object, where that is not done as for bytes that come through here.

    Raises StorageFull, StoreError, and what ``create`` raises, such as QuotaExceeded.
    """
    await room.must_be_left(new.store)
    upload_id, target = new_id(), store(new.store)
    key = object_key(upload_id)
    at_most = new.profile.max_size if new.size is None else new.size
    usual = partial(writing.create, at_most=at_most, chunk_size=new.chunk_size)
    state = await in_thread(make or usual, target, key)
    try:
        made = await in_transaction(create, new, upload_id=upload_id, key=key, state=state)
    except Problem:
        await in_thread(target.discard, key, state)
        raise
    if made is None:
        await in_thread(target.discard, key, state)
    return made
