"""An installation of the previous release, written by Django's historical models of it: the statements that its
processes write, in any checkout.

Run as ``python -m tests.upgrade.old_installation COMMAND`` in the environment of a server:

- ``install`` creates the schema and fills every table; prints what is in it (``Installed``) and all ``rows`` as JSON.
- ``write`` goes on as its web processes and workers do until the input ends; prints each file once it is committed.
- ``rows`` prints every row that the release can read, by table.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import threading
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

from django.apps.registry import Apps

from tests import django_home
from tests.upgrade.previous_release import Node, previous_release

OWNER = "anonymous"
#: What the server receives of the unfinished upload later on is the rest of this.
UNFINISHED = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(96 * 1024))
RECEIVED = 1024 * 1024
CHUNKS = [b"first chunk " * 100, b"second chunk" * 100]
TOKEN = "wl_a-token-of-the-previous-release"
#: Ended jobs, so that the migration has rows to go through.
ENDED_JOBS = 500
#: Seconds between two transactions of `write`, so that it leaves the migration something of the machine.
PAUSE = 0.1


@dataclass
class Installed:
    """What the previous release left. ``served``: SHA-256 by file; ``statuses``: of all files, by file."""

    served: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    unfinished_upload: str = ""
    chunked_upload: str = ""
    dead_job: str = ""


def nodes() -> list[Node]:
    """The migrations that the previous release has applied, those of Django's own apps included."""
    from django.db.migrations.loader import MigrationLoader

    leaves = MigrationLoader(None).graph.leaf_nodes()
    return [*previous_release().nodes, *(leaf for leaf in leaves if not leaf[0].startswith("windlass_"))]


def old_models() -> Apps:
    from django.db.migrations.loader import MigrationLoader

    apps: Apps = MigrationLoader(None).project_state(nodes()).apps
    return apps


class OldCode:
    """Statements of the previous release."""

    def __init__(self) -> None:
        from django.utils import timezone

        self.apps = old_models()
        self.now = timezone.now

    def model(self, app: str, name: str) -> Any:
        return self.apps.get_model(f"windlass_{app}", name)

    def event(self, kind: str, file: Any, **data: object) -> None:
        self.model("events", "Event").objects.create(
            type=kind, owner=OWNER, file_id=file.id, upload_id=file.upload_id, data=data
        )

    def stored(self, content: bytes, *, verified: bool = True) -> Any:
        """A row of stored bytes, and the bytes."""
        upload = uuid.uuid4()
        key = put(upload, content)
        sha256 = hashlib.sha256(content).hexdigest() if verified else None
        return self.model("files", "Blob").objects.create(
            owner=OWNER, store="local", key=key, size=len(content), sha256=sha256
        )

    def session(self, **values: Any) -> Any:
        session = uuid.uuid4()
        defaults = {
            "id": session,
            "owner": OWNER,
            "dialect": "tus",
            "profile": "default",
            "filename": "a.txt",
            "store": "local",
            "store_key": f"objects/{session.hex[:2]}/{session}",
            "expires_at": self.now() + timedelta(days=1),
        }
        return self.model("files", "UploadSession").objects.create(**(defaults | values))

    def file(self, content: bytes, status: str, **values: Any) -> Any:
        """A file with its session and its stored bytes, as far as they are known in this status."""
        known = status not in {"PENDING", "PROCESSING"}
        blob = values.pop("blob", None) or self.stored(content, verified=known)
        session = self.session(
            status="completed", size=len(content), offset=len(content), store_key=blob.key, ended_at=self.now()
        )
        described = {"mime_type": "text/plain", "checksum": blob.sha256, "gate_passed": True} if known else {}
        file = self.model("files", "FileAsset").objects.create(
            owner=OWNER,
            upload_id=session.id,
            blob=blob,
            status=status,
            size=len(content),
            profile="default",
            original_filename="a.txt",
            **(described | values),
        )
        self.model("files", "UploadSession").objects.filter(id=session.id).update(file_id=file.id)
        self.event("file.created", file, filename="a.txt", size=len(content))
        return file

    def job(self, file: Any, state: str, stage: str = "intake", **values: Any) -> Any:
        moment = self.now()
        defaults = {"due_at": moment, "notified_at": moment, "max_attempts": 5, "request_id": "an-old-request"}
        return self.model("jobs", "Job").objects.create(
            id=uuid.uuid4(), file_id=file.id, state=state, stage=stage, **(defaults | values)
        )

    def attempt(self, job: Any, number: int, outcome: str, **values: Any) -> Any:
        ended = None if outcome == "running" else self.now()
        return self.model("jobs", "Attempt").objects.create(
            job=job,
            number=number,
            epoch=number,
            worker="old-worker",
            outcome=outcome,
            started_at=self.now() - timedelta(seconds=2),
            ended_at=ended,
            **values,
        )

    def give_up(self, content: bytes) -> Any:
        """A file whose processing failed twice: its job is a dead letter."""
        failed = {"step": "text_facts", "error_class": "TransientError", "message": "The text reader is away."}
        file = self.file(content, "FAILED", stage="describe", message="The text reader is away.")
        job = self.job(file, "queued", "describe")
        for number in (1, 2):
            self.attempt(job, number, "failed", **failed)
        changed = self.model("jobs", "Job").objects.filter(id=job.id, state="queued")
        assert changed.update(state="dead", attempts=2, last_error=failed["message"], updated_at=self.now()) == 1
        self.step(file, "describe", "text_facts", "failed")
        self.event("job.dead", file, stage="describe")
        return job

    def step(self, file: Any, stage: str, name: str, state: str) -> None:
        steps = self.model("files", "StepRun").objects
        steps.create(file=file, run=1, stage=stage, step=name, position=steps.filter(file=file).count(), state=state)


def put(upload: uuid.UUID, content: bytes) -> str:
    from windlass.storage.registry import store

    key = f"objects/{upload.hex[:2]}/{upload}"
    store().put(key, io.BytesIO(content), len(content))
    return key


def install() -> Installed:
    from django.db import connection, transaction
    from django.db.migrations.executor import MigrationExecutor

    MigrationExecutor(connection).migrate(nodes())
    with transaction.atomic():
        return fill(OldCode())


def fill(old: OldCode) -> Installed:
    """Give every table of the release rows: files in all statuses, sessions in progress, jobs in all states."""
    made = Installed()

    def remember(file: Any, content: bytes = b"") -> Any:
        made.statuses[str(file.id)] = file.status
        if content:
            made.served[str(file.id)] = hashlib.sha256(content).hexdigest()
        return file

    content = b"A ready text.\n"
    ready = remember(old.file(content, "READY"), content)
    for stage, name in (("intake", "size"), ("intake", "type"), ("describe", "text_facts")):
        old.step(ready, stage, name, "done")
    old.attempt(old.job(ready, "done", attempts=1), 1, "done")
    old.model("files", "Rendition").objects.create(
        file=ready, name="text", kind="text", mime_type="text/plain", store="local", key=put(uuid.uuid4(), b"A"), size=1
    )
    old.model("files", "Blob").objects.filter(id=ready.blob_id).update(references=2)
    remember(old.file(content, "READY", blob=ready.blob, duplicate_of=ready), content)
    owed = remember(old.file(b"It waits for OCR.\n", "READY"), b"It waits for OCR.\n")
    old.step(owed, "derive", "waveform", "owed")
    trashed = old.file(b"In the trash.\n", "READY", trashed_at=old.now(), trash_until=old.now() + timedelta(days=1))
    old.event("file.trashed", trashed)
    rejected = {"rule": "max_size", "detail": "The file is larger than its profile allows."}
    remember(old.file(b"Refused.\n", "REJECTED", gate_passed=False, rejection=rejected, message=rejected["detail"]))
    remember(old.file(b"Malware.\n", "QUARANTINED", gate_passed=False, message="The scanner found malware."))
    released = remember(old.file(b"Released.\n", "RELEASED"))
    type(released).objects.filter(id=released.id).update(blob=None)
    made.dead_job = str(old.give_up(b"It failed.\n").id)
    fill_unprocessed(old, remember)
    fill_uploads(old, made)
    fill_accounts(old)
    ended = [old.job(ready, "done", run=number, attempts=1) for number in range(2, ENDED_JOBS)]
    for job in ended:
        old.attempt(job, 1, "done")
    return made


def fill_unprocessed(old: OldCode, remember: Any) -> None:
    """Files whose processing goes on after the upgrade: announced, running in a worker that is gone, to be retried."""
    for number, state in enumerate(["queued", "running", "backoff"]):
        content = b"Not processed yet: %d.\n" % number
        file = remember(old.file(content, "PROCESSING" if state == "running" else "PENDING"), content)
        if state == "running":
            holder = {"lease_holder": "old-worker", "lease_until": old.now() - timedelta(minutes=1), "lease_epoch": 1}
            old.attempt(old.job(file, "running", attempts=1, **holder), 1, "running")
        elif state == "backoff":
            job = old.job(file, "queued", attempts=1, lease_epoch=1, notified_at=None, last_error="Once more.")
            old.attempt(job, 1, "failed", step="type", error_class="TransientError", message="Once more.")
        else:
            old.job(file, "queued")


def fill_uploads(old: OldCode, made: Installed) -> None:
    """Sessions in every status; one is in progress by tus, one by chunks."""
    sent = old.session(
        filename="unfinished.bin",
        size=len(UNFINISHED),
        offset=RECEIVED,
        reserved=len(UNFINISHED),
        lease_holder="old-web",
        lease_epoch=3,
        lease_until=old.now() - timedelta(minutes=1),
    )
    put(sent.id, UNFINISHED[:RECEIVED])
    made.unfinished_upload = str(sent.id)
    size = sum(map(len, CHUNKS))
    chunked = old.session(dialect="chunks", filename="c.txt", size=size, chunk_size=len(CHUNKS[0]), declared_type="")
    put(chunked.id, CHUNKS[0])
    type(chunked).objects.filter(id=chunked.id).update(offset=len(CHUNKS[0]))
    old.model("files", "UploadChunk").objects.create(
        session=chunked, index=0, size=len(CHUNKS[0]), state="received", sha256=hashlib.sha256(CHUNKS[0]).hexdigest()
    )
    made.chunked_upload = str(chunked.id)
    for status in ("failed", "cancelled", "expired"):
        old.session(status=status, size=10, ended_at=old.now(), failure="It broke off." if status == "failed" else "")


def fill_accounts(old: OldCode) -> None:
    user = old.apps.get_model("auth", "User").objects.create(username="operator", is_staff=True)
    old.model("accounts", "ApiToken").objects.create(user=user, digest=hashlib.sha256(TOKEN.encode()).hexdigest())
    old.model("accounts", "Grant").objects.create(
        digest="0" * 64, owner=OWNER, profile="default", expires_at=old.now() + timedelta(days=1)
    )
    old.model("files", "OwnerAccount").objects.create(owner="somebody", bytes_used=5, files_used=1)
    old.model("files", "RetainedObject").objects.create(
        store="local", key="objects/no/longer", size=3, until=old.now() + timedelta(days=1)
    )


def write() -> None:
    """Commit one transaction after the other: new files, claims, results, dead letters, checkpoints of an upload."""
    from django.db import transaction

    old, ended = OldCode(), threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    session = old.session(filename="growing.bin", size=1 << 40)
    for number in count():
        if ended.wait(PAUSE):
            return
        content = b"Written by the previous release: %d.\n" % number
        with transaction.atomic():
            file = dead = None
            if number % 3 == 0:
                dead = str(old.give_up(content).id)
            else:
                file = old.file(content, "PENDING")
                job = old.job(file, "queued")
                if number % 3 == 1:
                    process(old, file, job, content)
            checkpoint = old.model("files", "UploadSession").objects.filter(id=session.id, lease_epoch=0)
            assert checkpoint.update(offset=number + 1, updated_at=old.now()) == 1
        line = {"file": file and str(file.id), "sha256": hashlib.sha256(content).hexdigest(), "dead": dead}
        print(json.dumps(line), flush=True)


def process(old: OldCode, file: Any, job: Any, content: bytes) -> None:
    """Claim the job, record its result, end it, and read it back, as a worker of the release does."""
    claimed = old.model("jobs", "Job").objects.filter(id=job.id, state="queued", lease_epoch=0)
    until = old.now() + timedelta(seconds=60)
    assert claimed.update(state="running", attempts=1, lease_epoch=1, lease_holder="old-worker", lease_until=until) == 1
    attempt = old.attempt(job, 1, "running")
    old.step(file, "intake", "size", "done")
    held = old.model("jobs", "Job").objects.filter(id=job.id, state="running", lease_epoch=1)
    assert held.update(state="done", lease_until=None, updated_at=old.now()) == 1
    attempt.outcome, attempt.ended_at = "done", old.now()
    attempt.save()
    ready = old.model("files", "FileAsset").objects.select_related("blob").get(id=file.id)
    ready.blob.sha256 = ready.checksum = hashlib.sha256(content).hexdigest()
    ready.blob.save()
    ready.status, ready.gate_passed, ready.mime_type, ready.progress = "READY", True, "text/plain", 100
    ready.save()
    old.event("file.ready", file, progress=100)


def rows() -> Mapping[str, list[dict[str, Any]]]:
    return {
        model._meta.db_table: list(model.objects.order_by("pk").values())
        for model in old_models().get_models()
        if model._meta.app_label.startswith("windlass_")
    }


def main() -> None:
    django_home.set_up_here()
    from django.core.serializers.json import DjangoJSONEncoder

    command = sys.argv[1]
    if command == "write":
        write()
    else:
        found = {"installed": asdict(install())} if command == "install" else {}
        print(json.dumps(found | {"rows": rows()}, cls=DjangoJSONEncoder))


if __name__ == "__main__":
    main()
