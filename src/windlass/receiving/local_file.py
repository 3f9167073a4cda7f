"""Record a file whose bytes this process already has, such as a file of a form that Django received.

The bytes are stored first; session, file and first job are then recorded in one transaction. It joins the caller's
transaction if there is one, so that the file exists exactly if the caller's records do.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO

from structlog.contextvars import get_contextvars

from windlass.events.api import recording
from windlass.files import api as files
from windlass.jobs import api as jobs
from windlass.kernel.ids import new_id
from windlass.kernel.object_keys import object_key
from windlass.kernel.principals import Principal
from windlass.protocols.dialects import Dialect
from windlass.protocols.intents import Description
from windlass.receiving.admission import admit, check_size
from windlass.receiving.digest import READ_SIZE
from windlass.receiving.disk_space import require_free_space_now
from windlass.receiving.durability import syncs_complete_files
from windlass.storage.contract import State, Store
from windlass.storage.registry import store


@dataclass(frozen=True, slots=True)
class _StoredBytes:
    state: State
    size: int
    sha256: str


def store_local_file(source: BinaryIO, size: int, description: Description, principal: Principal) -> files.FileAsset:
    """Store all bytes of ``source``, which has ``size`` of them, as a file of ``principal``. Blocks.

    Raises what ``admission.admit`` raises, QuotaExceeded, StorageFull, StoreError.
    """
    new = admit(description, size, principal, Dialect.FORM)
    require_free_space_now(new.store)
    upload_id, target = new_id(), store(new.store)
    key = object_key(upload_id)
    is_committing = False
    try:
        stored = _write(target, key, source, size)
        check_size(new.profile, stored.size)
        with recording() as recorder:
            _session, asset = files.create_complete_upload(
                recorder, new, upload_id=upload_id, key=key, state=stored.state, size=stored.size, sha256=stored.sha256
            )
            cost = jobs.cost_class(asset.size)
            jobs.enqueue(jobs.Stage.INTAKE, asset.id, cost=cost, run=asset.run, request_id=_request_id())
            is_committing = True
    except BaseException:
        # If the commit failed, nobody knows whether the file is recorded: the sweep deletes the bytes if it is not.
        if not is_committing:
            target.discard(key, {})
        raise
    return asset


def _write(target: Store, key: str, source: BinaryIO, size: int) -> _StoredBytes:
    durable = syncs_complete_files()
    digest, offset = hashlib.sha256(), 0
    state = target.create(key, durable=durable, at_most=size)
    with closing(target.open_writer(key, state)) as writer:
        while block := source.read(READ_SIZE):
            offset += writer.write(offset, [block])
            digest.update(block)
        return _StoredBytes(writer.finish(offset, durable=durable), offset, digest.hexdigest())


def _request_id() -> str:
    return str(get_contextvars().get("request_id") or "")
