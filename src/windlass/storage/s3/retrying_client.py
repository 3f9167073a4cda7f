"""The S3 client of this process: connections, retries, request bodies. Every request goes through ``Bucket.call``."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import create_loader

from windlass.storage.contract import Buffer
from windlass.storage.s3.errors import DIRECTORY_VANISHED, store_error
from windlass.storage.s3.options import Options

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

#: Connections kept open, and threads that send parts, in one process.
CONNECTIONS = 48
SENDERS = 16
_CONNECT_SECONDS = 5.0
#: Timeout for completing an object of thousands of parts (seconds). Amazon documents several minutes.
SLOW_TIMEOUT = 600.0

#: Content type of every object: the real type is found out later and sent with each download.
CONTENT_TYPE = "application/octet-stream"
#: Metadata field of an object that names the upload it was made of.
UPLOAD_MARK = "windlass-upload"


class RequestBody(bytearray):
    """The body of one request, sent in one piece; botocore and urllib3 send ``bytes`` in blocks of 16 KiB.

    Its text shows only its size: botocore logs each request at level debug, and no log may contain file content.
    """

    @classmethod
    def of(cls, data: Buffer) -> RequestBody:
        return data if isinstance(data, RequestBody) else cls(data)

    @classmethod
    def joined(cls, buffers: Sequence[Buffer]) -> RequestBody:
        body, at = cls(sum(len(buffer) for buffer in buffers)), 0
        with memoryview(body) as view:
            for buffer in buffers:
                view[at : at + len(buffer)] = buffer
                at += len(buffer)
        return body

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"

    __str__ = __repr__


def checksum_fields(data: Buffer, kind: str) -> dict[str, Any]:
    """Return the request field by which the store verifies ``data``. ``kind``: ``crc32`` or ``md5``."""
    if kind == "md5":
        return {"ContentMD5": base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()}
    return {"ChecksumCRC32": base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()}


class Bucket:
    """A bucket and this process's connections to it. Thread-safe. A forked child opens connections of its own."""

    def __init__(self, options: Options, guard: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """``guard`` is entered around each request."""
        self.options = options
        self._slow_options = replace(options, timeout=max(SLOW_TIMEOUT, options.timeout), attempts=1)
        self._public_options = replace(options, endpoint=options.public_endpoint or options.endpoint)
        self._guard = guard
        self.name = options.bucket
        self._lock = threading.Lock()
        self._pid = 0
        self._clients: dict[Options, S3Client] = {}
        self._senders: ThreadPoolExecutor

    @contextmanager
    def call(self, key: str, *, slow: bool = False) -> Iterator[S3Client]:
        """Yield the client; translate its errors. Raises StoreError.

        ``slow``: a client with a timeout of minutes that never retries.
        """
        with self._guard():
            try:
                yield self._client(self._slow_options if slow else self.options)
            except (BotoCoreError, ClientError) as error:
                raise store_error(error, key, self.options.checksum) from error

    def pages(self, key: str, operation: str, **parameters: Any) -> Iterator[Any]:
        """Yield the pages of a listing, one request each. Raises StoreError."""
        pages: Iterator[Any] | None = None
        while True:
            with self.call(key) as s3:  # once per request: leaving without an error counts as a success of the breaker
                if pages is None:
                    pages = iter(s3.get_paginator(operation).paginate(Bucket=self.name, **parameters))  # type: ignore[call-overload]
                page = next(pages, None)
            if page is None:
                return
            yield page

    @property
    def senders(self) -> ThreadPoolExecutor:
        """Threads that send parts while the caller fills the next ones."""
        self._client(self.options)
        return self._senders

    def presigner(self) -> S3Client:
        """Return a client that signs for the address that clients use. It sends nothing."""
        return self._client(self._public_options)

    def path(self, key: str) -> str:
        return self.options.prefix + key

    def address(self, key: str) -> dict[str, Any]:
        """Return the fields of a request that name an object."""
        return {"Bucket": self.name, "Key": self.path(key)}

    def key(self, path: str) -> str:
        return path[len(self.options.prefix) :]

    def close(self) -> None:
        with self._lock:
            if self._pid == os.getpid():
                self._senders.shutdown(wait=False, cancel_futures=True)
                for client in self._clients.values():
                    client.close()
                self._pid = 0

    def encryption(self) -> dict[str, Any]:
        """Return the encryption fields of the requests that create an object."""
        kind = self.options.encryption
        if kind != "aws:kms":
            return {"ServerSideEncryption": kind.upper()} if kind else {}
        key = {"SSEKMSKeyId": self.options.kms_key} if self.options.kms_key else {}
        return {"ServerSideEncryption": kind, **key}

    def _client(self, options: Options) -> S3Client:
        """Return this process's client with these options."""
        with self._lock:
            if self._pid != os.getpid():
                self._clients = {}
                self._senders = ThreadPoolExecutor(SENDERS, thread_name_prefix="windlass-s3")
                self._pid = os.getpid()
            if options not in self._clients:
                self._clients[options] = _connect(options)
            return self._clients[options]


#: Reads the protocol descriptions (megabytes of JSON) once for all clients.
_LOADER = create_loader()


def _connect(options: Options) -> S3Client:
    core = botocore.session.Session()
    core.register_component("data_loader", _LOADER)
    session = boto3.session.Session(
        botocore_session=core,
        aws_access_key_id=options.access_key or None,
        aws_secret_access_key=options.secret_key or None,
        aws_session_token=options.session_token or None,
        region_name=options.region or None,
    )
    # Every part has a checksum of its own, so payloads are not signed over TLS; over plain HTTP they are.
    s3: Any = {"addressing_style": options.addressing}
    if not options.endpoint.startswith("http://"):
        s3["payload_signing_enabled"] = False
    config = Config(
        signature_version="s3v4",
        connect_timeout=min(_CONNECT_SECONDS, options.timeout),
        read_timeout=options.timeout,
        max_pool_connections=CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": options.attempts},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        tcp_keepalive=True,
        s3=s3,
    )
    region = session.region_name or "us-east-1"
    client: S3Client = session.client("s3", endpoint_url=options.endpoint or None, region_name=region, config=config)
    client.meta.events.register("before-sign.s3.PutObject", _checksum_into_url)
    again: Any = partial(_seconds_until_retry, options.attempts)
    client.meta.events.register("needs-retry.s3.PutObject", again)
    return client


def _checksum_into_url(request: Any, signature_version: str, **_event: Any) -> None:
    """Move the checksum of a presigned request into its URL, as other SDKs do: some stores look for it there when they
    verify the signature, and the sender needs no extra header."""
    if signature_version.endswith("-query"):
        for name in [name for name in request.headers if name.lower().startswith("x-amz-checksum-")]:
            request.params[name] = request.headers[name]
            del request.headers[name]


def _seconds_until_retry(most_attempts: int, response: Any, attempts: int, **_event: Any) -> float | None:
    """Return when to send an object again that a store over a file system had no directory for; None: not for this.

    Such a store deletes the directory of an object with the last one in it. An object that is put there meanwhile is
    refused with an error that botocore does not retry (versitygw names it after a directory that exists).
    """
    code = (response[1] if response else {}).get("Error", {}).get("Code")
    return 0.05 * attempts if code in DIRECTORY_VANISHED and attempts < most_attempts else None
