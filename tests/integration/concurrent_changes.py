"""``concurrent_changes.py NAME``: several threads change the same rows; prints JSON.

The database is that of the environment. Each thread has its own connection, like the processes of a server.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import django

django.setup()

from django.core.management import call_command  # noqa: E402  Django first
from django.db import connections  # noqa: E402

from tests import migrated_home  # noqa: E402
from windlass.events.api import recording  # noqa: E402
from windlass.files import api as files  # noqa: E402
from windlass.files.api import Blob, FileAsset  # noqa: E402
from windlass.files.models import RetainedObject  # noqa: E402
from windlass.kernel.clock import now  # noqa: E402
from windlass.operations import move as move_api  # noqa: E402
from windlass.storage.registry import store  # noqa: E402

ROUNDS = 15


def at_once(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run the functions at the same moment; return each result, or the exception as text."""
    barrier, found = threading.Barrier(len(works)), [None] * len(works)

    def run(number: int, work: Callable[[], Any]) -> None:
        barrier.wait(60)
        try:
            found[number] = work()
        except Exception as error:
            found[number] = f"{type(error).__name__}: {error}"
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def create_file(owner: str) -> FileAsset:
    key = f"objects/{uuid.uuid4()}"
    store().put(key, io.BytesIO(b"same"), 4)
    blob = Blob.objects.create(owner=owner, store=store().name, key=key, size=4, sha256="a" * 64)
    return FileAsset.objects.create(owner=owner, blob=blob, original_filename="a", size=4, profile="default")


def share(asset: FileAsset) -> None:
    """As a worker does after intake."""
    assert asset.blob is not None
    for _ in range(3):
        twin = files.find_duplicate(asset.blob)
        if twin is None or asset.blob_id == twin.id:
            return
        with recording():
            gone = files.share_blob(asset, twin)
        files.delete_objects(gone)


def delete(asset: FileAsset) -> None:
    with recording():
        gone = files.delete_file(asset)
    files.delete_objects(gone)


def state_of(owner: str) -> dict[str, Any]:
    """``wrong``: files without bytes, blobs with a wrong count; ``objects``: how many the owner's rows name."""
    wrong = []
    blobs = list(Blob.objects.filter(owner=owner))
    for blob in blobs:
        if blob.references != blob.files.count() or not blob.references:
            wrong.append(f"{blob.references} for {blob.files.count()}")
        store(blob.store).info(blob.key)
    files_there = FileAsset.objects.filter(owner=owner)
    wrong += ["a file without a blob" for asset in files_there if asset.blob_id is None]
    return {"wrong": wrong, "files": files_there.count(), "blobs": len(blobs)}


def sharing() -> list[Any]:
    """Equal files point at one another's bytes while others of them are deleted."""
    rounds = []
    for number in range(ROUNDS):
        owner = f"sharing-{uuid.uuid4()}"
        pool = [create_file(owner) for _ in range(6)]
        works: list[Callable[[], Any]] = [lambda asset=asset: share(asset) for asset in pool]
        works += [lambda asset=asset: delete(FileAsset.objects.get(id=asset.id)) for asset in pool[: number % 4]]
        failed = [said for said in at_once(works) if said]
        rounds.append(state_of(owner) | {"failed": failed, "deleted": number % 4})
    return rounds


def moving() -> list[Any]:
    """Two movers go over the same files, which meanwhile share their bytes, are deleted, and move back."""
    rounds = []
    for number in range(ROUNDS):
        owner = f"moving-{uuid.uuid4()}"
        pool = [create_file(owner) for _ in range(6)]
        Blob.objects.filter(owner=owner).update(sha256=hashlib.sha256(b"same").hexdigest())
        selections = [move_api.Selection(to, owner=owner) for to in ("archive", "archive", "local")]
        works: list[Callable[[], Any]] = [lambda asset=asset: share(asset) for asset in pool[:3]]
        works += [lambda asset=asset: delete(FileAsset.objects.get(id=asset.id)) for asset in pool[3 : 3 + number % 3]]
        works += [lambda selection=selection: move_api.move(selection).failures for selection in selections]
        failed = [said for said in at_once(works) if said]
        rounds.append(state_of(owner) | {"failed": failed, "deleted": number % 3})
    RetainedObject.objects.update(until=now())
    files.remove_expired_objects()
    named = {(blob.store, blob.key) for blob in Blob.objects.all()}
    there = {(name, found.key) for name in ("local", "archive") for found in store(name).objects()}
    return [{"rounds": rounds, "lost": sorted(named - there), "left": sorted(there - named)}]


FORESEEN = ("begun", "done", "ended")


def begun(owner: str, size: int | None, address: str = "") -> files.UploadSession:
    new = files.NewUpload(
        owner=owner,
        dialect="tus",
        profile=files.profile("default"),
        filename="a",
        declared_type=None,
        reference=None,
        metadata={},
        client_metadata=None,
        expected_sha256=None,
        size=size,
        store=store().name,
        address_key=files.address_key(address),
        holder="race",
        lease_seconds=100,
    )
    upload_id = uuid.uuid4()
    return files.create_upload(new, upload_id=upload_id, key=f"objects/{upload_id}", state={})


def upload(owner: str, number: int) -> str:
    """Of every four, one ends, one becomes a file that is deleted, one a file of unknown length, one a file."""
    deferred = number % 4 == 2
    session = begun(owner, None if deferred else 70)
    lease = files.lease_of(session)
    if number % 4 == 0:
        files.mark_upload_ended(session.id, files.UploadStatus.CANCELLED)
        return "ended"
    if deferred:
        with recording():
            files.commit_offset(lease, 50, {}, ttl_hours=1)
    with recording() as tell:
        asset = files.complete_upload(tell, lease, session, size=70, sha256=None)
    if number % 4 == 1:
        delete(asset)
    return "done"


def quota() -> list[Any]:
    """Fifty uploads at once against room for fourteen, on an account that does not exist yet; then fifty more."""
    rounds = []
    for _ in range(3):
        owner = f"quota-{uuid.uuid4()}"
        said = at_once([lambda owner=owner, number=number: upload(owner, number) for number in range(50)])
        kept = sum(FileAsset.objects.filter(owner=owner).values_list("size", flat=True))
        said += at_once([lambda owner=owner: begun(owner, 70) and "begun" for _ in range(50)])
        usage, drift = files.quota_usage(owner), files.recount_quota(owner)
        rounds.append(
            {
                "kept": kept,
                "refused": sum(each.startswith("QuotaExceeded") for each in said),
                "failed": [each for each in said if not each.startswith(("QuotaExceeded", *FORESEEN))],
                "drift": drift or None,
                "bytes": usage.document()["bytes"],
            }
        )
    return rounds


def open_uploads() -> list[Any]:
    """Thirty uploads at once of an owner without an account; then one more after each of two has ended."""
    owner = f"open-{uuid.uuid4()}"
    said = at_once([lambda: begun(owner, 1) and "begun" for _ in range(30)])
    for session in files.UploadSession.objects.filter(owner=owner)[:2]:
        files.mark_upload_ended(session.id, files.UploadStatus.CANCELLED)
    said += at_once([lambda: begun(owner, 1) and "begun" for _ in range(5)])
    return said


def open_uploads_of_address() -> list[Any]:
    """Thirty uploads at once, each of another owner, from one network; then one more after each of two has ended, and
    one from another network."""

    def begin(host: int, network: str = "2001:db8:1:2::") -> str:
        begun(f"open-{uuid.uuid4()}", 1, f"{network}{host:x}")
        return "begun"

    said = at_once([lambda host=host: begin(host) for host in range(1, 31)])
    counted = files.UploadSession.objects.filter(address_key=files.address_key("2001:db8:1:2::ffff"))
    files.mark_upload_ended(counted[0].id, files.UploadStatus.CANCELLED)
    session = counted[0]
    with recording() as tell:
        files.complete_upload(tell, files.lease_of(session), session, size=1, sha256=None)
    said += at_once([lambda host=host: begin(host) for host in range(1, 6)])
    return [*said, begin(1, "2001:db8:1:3::")]


if __name__ == "__main__":
    if "DATABASE_URL" not in os.environ:
        migrated_home.prepare(Path(os.environ["WINDLASS_HOME"]))
    call_command("migrate", verbosity=0)
    print(json.dumps(globals()[sys.argv[1]]()))
