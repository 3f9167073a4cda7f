"""Clients of several dialects that upload one file after the other, whatever breaks, and record what is promised.

Each is a thread. What it must not see goes to the ledger: an offset below an acknowledged one, an upload that is gone,
other bytes than those that were sent, a refusal that no fault explains.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

import httpx

from tests import samples
from tests.chaos.ledger import AcknowledgedFile, Ledger
from tests.process.step_package import POISON_PREFIX, STUBBORN_PREFIX
from tests.process.wire import PATCH, TUS, metadata

KB, MB = 1024, 1024 * 1024
#: Shorter than a half-open connection lives, longer than a busy server needs for a reply.
TIMEOUT = httpx.Timeout(15.0, read=8.0)
#: How long a client repeats requests of one upload without a useful reply (seconds).
PATIENT_SECONDS = 150.0
#: How long a client waits for the processing of a file before it sends the next one (seconds).
PROCESSED_SECONDS = 20.0
#: Replies after which a client tries again.
RETRYABLE = frozenset({408, 423, 425, 429, 500, 502, 503, 504, 507})
CHUNK_API = "/api/v1/upload"


class Abandoned(Exception):
    """The client gives this upload up: the server said, for a good reason, that it has ended."""


class UploadClient:
    """``is_excused``: whether a fault has happened, since a moment, after which the server may fail an upload.
    ``think_seconds``: how long it pauses after each file, on average. ``deletes``: it deletes each file once that is
    processed."""

    dialect = ""
    deletes = False

    def __init__(
        self,
        url: str,
        ledger: Ledger,
        seed: int,
        is_excused: Callable[[float], bool],
        prefixes: tuple[bytes, ...],
        think_seconds: float = 0.0,
    ) -> None:
        self.ledger = ledger
        self.chance = random.Random(f"{self.dialect} {seed}")
        self._is_excused, self._prefixes, self._think_seconds = is_excused, prefixes, think_seconds
        self._stopping = threading.Event()
        self._begun = 0.0
        self._answered, self._repeated_for = 0.0, ""
        self.http = httpx.Client(base_url=url, timeout=TIMEOUT, trust_env=False)
        self._thread = threading.Thread(target=self._run, name=self.dialect, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish the present upload, and end."""
        self._stopping.set()

    def join(self) -> None:
        self._thread.join(PATIENT_SECONDS + 30)
        if self._thread.is_alive():
            self.ledger.violate(f"{self.dialect}: an upload has not ended")
        self.http.close()

    def upload(self, content: bytes, reference: str) -> str:
        """Upload the content; returns the id of its file."""
        raise NotImplementedError

    def send(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        """The reply; None where the request is to be repeated."""
        try:
            reply = self.http.request(method, path, **options)
        except (httpx.TransportError, httpx.StreamError) as error:
            self.ledger.count("broken requests")
            self._repeated_for = f"{method} {path}: {type(error).__name__}: {error}"
            self._pause()
            return None
        if reply.status_code in RETRYABLE:
            self.ledger.count(f"replies {reply.status_code}")
            self._repeated_for = f"{method} {path}: {reply.status_code} {reply.text[:300]}"
            self._pause()
            return None
        self._answered = time.monotonic()
        return reply

    def until_answered(self, method: str, path: str, **options: Any) -> httpx.Response:
        while (reply := self.send(method, path, **options)) is None:
            pass
        return reply

    def refused(self, what: str, reply: httpx.Response) -> Abandoned:
        """What to raise after a refusal; it is a violation where no fault excuses it."""
        if self._is_excused(self._begun):
            self.ledger.count("excused refusals")
        else:
            self.ledger.violate(f"{self.dialect}: {what}: {reply.status_code} {reply.text[:300]}")
        return Abandoned(what)

    def paced(self, content: bytes) -> Iterator[bytes]:
        """The content in blocks, now and then slowly, so that faults meet bodies."""
        slow = self.chance.random() < 0.4
        for at in range(0, len(content), 64 * KB):
            if slow:
                time.sleep(self.chance.random() * 0.03)
            yield content[at : at + 64 * KB]

    def _run(self) -> None:
        while not self._stopping.is_set():
            content, reference = self._content(), str(uuid.uuid4())
            self._begun = time.monotonic()
            try:
                file = self.upload(content, reference)
            except Abandoned:
                continue
            except Exception as error:  # the thread's boundary: what it met is a finding
                self.ledger.violate(f"{self.dialect}: {type(error).__name__}: {error}")
                continue
            poisoned = content.startswith(POISON_PREFIX)
            sha256 = hashlib.sha256(content).hexdigest()
            acknowledged = AcknowledgedFile(file, sha256, self.dialect, poisoned)
            self.ledger.acknowledge_file(acknowledged)
            self._wait_until_processed(file)
            if self.deletes:
                self._delete(acknowledged)
            if self._think_seconds:
                self._stopping.wait(self.chance.expovariate(1 / self._think_seconds))

    def _delete(self, file: AcknowledgedFile) -> None:
        with contextlib.suppress(httpx.TransportError):
            if self.http.delete(f"/files/{file.id}/").is_success:
                self.ledger.verified(file)

    def _wait_until_processed(self, file: str) -> None:
        """A client that goes on at once would outrun the workers, and a fault could not be told from their queue."""
        deadline = time.monotonic() + PROCESSED_SECONDS
        while time.monotonic() < deadline and not self._stopping.wait(0.2 + self.chance.random() * 0.4):
            with contextlib.suppress(httpx.TransportError):
                reply = self.http.get(f"/files/{file}/")
                if reply.is_success and reply.json()["status"] not in ("PENDING", "PROCESSING"):
                    return

    def _content(self) -> bytes:
        """Mostly small; some files are pictures, which have a thumbnail, and some fail."""
        if self.chance.random() < 0.15:
            return samples.jpeg(self.chance.randrange(40, 400), 40)
        prefix = self.chance.choice(self._prefixes) if self.chance.random() < 0.2 else b"wholesome"
        most = int(KB * (4 * MB / KB) ** self.chance.random())
        return prefix + b" " + self.chance.randbytes(most)

    def _pause(self) -> None:
        if time.monotonic() - max(self._begun, self._answered) > PATIENT_SECONDS:
            raise TimeoutError(f"no useful reply for {PATIENT_SECONDS:.0f} s: {self._repeated_for}")
        time.sleep(0.05 + self.chance.random() * 0.3)


class OffsetClient(UploadClient):
    """An upload at offsets. Subclasses say how a dialect creates, appends and asks."""

    def upload(self, content: bytes, reference: str) -> str:
        path = self.create(content, reference)
        acknowledged = 0
        while (file := self._append_or_ask(path, content, acknowledged)) is None:
            acknowledged = self._acknowledged(path)
        self.ledger.forget_upload(path)
        return file

    def create(self, content: bytes, reference: str) -> str:
        raise NotImplementedError

    def append(self, path: str, content: bytes, offset: int, end: int) -> httpx.Response | None:
        raise NotImplementedError

    def ask(self, path: str) -> httpx.Response:
        raise NotImplementedError

    def _append_or_ask(self, path: str, content: bytes, offset: int) -> str | None:
        """Append a part of what is missing. Returns the file once the upload is complete."""
        end = min(len(content), offset + self.chance.randrange(1, 2 * MB))
        reply = self.append(path, content, offset, end)
        if reply is None or not reply.is_success:  # a 409 of a second request, or of an offset that has moved on
            reply = self.ask(path)
            if not reply.is_success:
                raise self.refused(f"{path}, of which {self._acknowledged(path)} bytes were acknowledged", reply)
        at = int(reply.headers["Upload-Offset"])
        if at < self._acknowledged(path):
            self.ledger.violate(f"{self.dialect}: {path} is at {at}, acknowledged were {self._acknowledged(path)}")
        self.ledger.acknowledge(path, at, hashlib.sha256(content[:at]).hexdigest())
        if at < len(content):
            return None
        record = reply.headers.get("Windlass-File") or self.ask(path).headers.get("Windlass-File")
        return PurePosixPath(record).name if record else None

    def _acknowledged(self, path: str) -> int:
        known = self.ledger.acknowledgements.get(path)
        return known.offset if known else 0


class TusClient(OffsetClient):
    dialect = "tus"

    def create(self, content: bytes, reference: str) -> str:
        named = metadata(filename="a.bin", reference=reference)
        reply = self.until_answered("POST", "/files/", headers=TUS | {"Upload-Length": str(len(content))} | named)
        if reply.status_code != 201:
            raise self.refused("creation", reply)
        return httpx.URL(reply.headers["Location"]).path

    def append(self, path: str, content: bytes, offset: int, end: int) -> httpx.Response | None:
        length = {"Content-Length": str(end - offset)}
        return self.send(
            "PATCH",
            path,
            headers=PATCH | {"Upload-Offset": str(offset)} | length,
            content=self.paced(content[offset:end]),
        )

    def ask(self, path: str) -> httpx.Response:
        return self.until_answered("HEAD", path, headers=TUS)


class IetfClient(OffsetClient):
    dialect = "ietf"

    def create(self, content: bytes, reference: str) -> str:
        target = f"/files/?filename=a.bin&reference={reference}"
        reply = self.until_answered("POST", target, headers={"Upload-Complete": "?0"})
        if reply.status_code != 201:
            raise self.refused("creation", reply)
        return httpx.URL(reply.headers["Location"]).path

    def append(self, path: str, content: bytes, offset: int, end: int) -> httpx.Response | None:
        last = {"Upload-Complete": "?1" if end == len(content) else "?0"}
        about = {"Content-Type": "application/partial-upload", "Upload-Offset": str(offset)}
        length = {"Content-Length": str(end - offset)}
        return self.send("PATCH", path, headers=about | last | length, content=self.paced(content[offset:end]))

    def ask(self, path: str) -> httpx.Response:
        return self.until_answered("HEAD", path)


class ChunkClient(UploadClient):
    """Numbered chunks in any order, some of them twice."""

    dialect = "chunks"

    def upload(self, content: bytes, reference: str) -> str:
        size = self.chance.choice([64 * KB, 256 * KB, MB])
        asked = {"filename": "a.bin", "total_size": len(content), "mime_type": "", "chunk_size": size}
        created = self.until_answered("POST", f"{CHUNK_API}/init", json=asked | {"reference": reference})
        if created.status_code != 201:
            raise self.refused("creation", created)
        upload, total = created.json()["upload_id"], created.json()["total_chunks"]
        size = created.json()["chunk_size"]  # a store may want larger ones
        received: set[int] = set()
        while missing := [index for index in range(total) if index not in received]:
            index = self.chance.choice(missing)
            chunk = content[index * size : (index + 1) * size]
            self._put(upload, index, chunk, received)
            if self.chance.random() < 0.1:
                self._check_status(upload, received)
        return self._complete(upload)

    def _put(self, upload: str, index: int, chunk: bytes, received: set[int]) -> None:
        length = {"Content-Length": str(len(chunk))}
        path = f"{CHUNK_API}/{upload}/chunks/{index}"
        reply = self.send("PUT", path, headers=length, content=self.paced(chunk))
        if reply is None:
            return
        if not reply.is_success:
            raise self.refused(f"chunk {index} of {upload}", reply)
        received.add(index)
        self.ledger.count("acknowledgements")

    def _check_status(self, upload: str, received: set[int]) -> None:
        reply = self.until_answered("GET", f"{CHUNK_API}/status/{upload}")
        document = reply.json()
        if not reply.is_success or document["status"] == "failed":
            raise self.refused(f"status of {upload}", reply)
        if lost := received - set(document["progress"]["received_chunks"]):
            self.ledger.violate(f"chunks: {upload} lost the acknowledged chunks {sorted(lost)}")

    def _complete(self, upload: str) -> str:
        while True:
            reply = self.until_answered("POST", f"{CHUNK_API}/complete", json={"upload_id": upload})
            if reply.status_code == 202:
                time.sleep(0.2)
            elif reply.is_success:
                return str(reply.json()["file_id"])
            else:
                raise self.refused(f"completion of {upload}", reply)


class KeyedClient(UploadClient):
    """Whole files, each request repeated under one Idempotency-Key until it is answered."""

    def request(self, content: bytes, reference: str) -> dict[str, Any]:
        raise NotImplementedError

    def upload(self, content: bytes, reference: str) -> str:
        while (reply := self._send(content, reference)) is None or reply.status_code == 409:
            self._pause()  # 409: the request before, whose connection broke, still runs
        if reply.status_code != 201:
            raise self.refused("upload", reply)
        file = str(reply.json()["id"])
        if self.chance.random() < 0.2:
            again = self._send(content, reference)
            if again is not None and again.is_success and again.json()["id"] != file:
                self.ledger.violate(f"{self.dialect}: the key of {file} gave {again.json()['id']}")
        return file

    def _send(self, content: bytes, reference: str) -> httpx.Response | None:
        options = self.request(content, reference)
        headers = options.pop("headers", {}) | {"Idempotency-Key": reference}
        return self.send("POST", options.pop("path"), headers=headers, **options)


class RawClient(KeyedClient):
    dialect = "raw"

    def request(self, content: bytes, reference: str) -> dict[str, Any]:
        path = f"/files/?filename=a.bin&reference={reference}"
        return {
            "path": path,
            "headers": {"Content-Length": str(len(content))},
            "content": self.paced(content),
        }


class FormClient(KeyedClient):
    dialect = "form"

    def request(self, content: bytes, reference: str) -> dict[str, Any]:
        return {"path": "/files/", "files": {"file": ("a.bin", content)}, "data": {"reference": reference}}


class Reader(UploadClient):
    """Downloads files that were acknowledged, of which every whole reply must have the bytes."""

    dialect = "reader"

    def _run(self) -> None:
        while not self._stopping.wait(0.3):
            files = list(self.ledger.files.values())
            if not files:
                continue
            file = self.chance.choice(files)
            with contextlib.suppress(httpx.TransportError):
                reply = self.http.get(f"/files/{file.id}/download/")
                self.ledger.count("downloads" if reply.is_success else "downloads refused")
                if reply.status_code == 200 and hashlib.sha256(reply.content).hexdigest() != file.sha256:
                    self.ledger.violate(f"reader: {file.id} of {file.dialect} was served with other bytes")
                if reply.status_code == 404:
                    self.ledger.violate(f"reader: {file.id} of {file.dialect} is not there")


DIALECTS: tuple[type[UploadClient], ...] = (TusClient, IetfClient, ChunkClient, RawClient, FormClient, Reader)
#: What the content of a file that fails begins with: for ever, or until it is mended.
FAILING = (POISON_PREFIX, STUBBORN_PREFIX)
