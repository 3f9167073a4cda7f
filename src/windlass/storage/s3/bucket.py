"""The one door to the store: this process's client, and its errors in our words. Each request goes through ``call``."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import create_loader

from windlass.storage.contract import Buffer
from windlass.storage.s3.errors import told
from windlass.storage.s3.options import Options

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

#: Connections that are kept, and parts that are sent at the same time, in one process.
CONNECTIONS = 48
SENDERS = 16
_CONNECT_SECONDS = 5.0
#: How long a store may take to make an object of thousands of parts (seconds). Amazon speaks of several minutes.
PATIENCE = 600.0


class Bucket:
    """Safe for any number of threads. A forked child makes connections of its own."""

    def __init__(self, options: Options, guard: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """``guard`` goes around each request."""
        self.options = options
        self._guard = guard
        self.name = options.bucket
        self._lock = threading.Lock()
        self._of_process = 0
        self._client: S3Client | None = None
        self._presigner: S3Client | None = None
        self._patient_client: S3Client | None = None
        self._senders: ThreadPoolExecutor | None = None

    @contextmanager
    def call(self, key: str, *, patient: bool = False) -> Iterator[S3Client]:
        """The client, inside the translation of its errors. ``patient``: one that waits for minutes, and never asks
        twice. Raises StoreError."""
        with self._guard():
            try:
                yield self._patient() if patient else self._ours()
            except (BotoCoreError, ClientError) as error:
                raise told(error, key, self.options.checksum) from error

    def pages(self, key: str, operation: str, **asked: Any) -> Iterator[Any]:
        """Of a listing, each asked for when it is wanted. Raises StoreError."""
        pages: Iterator[Any] | None = None
        while True:
            with self.call(key) as s3:  # one with each request and none without: ending well counts for the breaker
                if pages is None:
                    pages = iter(s3.get_paginator(operation).paginate(Bucket=self.name, **asked))  # type: ignore[call-overload]
                page = next(pages, None)
            if page is None:
                return
            yield page

    @property
    def senders(self) -> ThreadPoolExecutor:
        """Threads that send parts beside whoever fills the next ones."""
        self._ours()
        assert self._senders is not None
        return self._senders

    def presigner(self) -> S3Client:
        """Signs for the address that clients use; sends nothing."""
        client = self._ours()
        if not self.options.public_endpoint:
            return client
        with self._lock:
            if self._presigner is None:
                self._presigner = _client(self.options, self.options.public_endpoint)
            return self._presigner

    def path(self, key: str) -> str:
        """The key as the bucket knows it."""
        return self.options.prefix + key

    def key(self, path: str) -> str:
        return path[len(self.options.prefix) :]

    def close(self) -> None:
        with self._lock:
            if self._client is None or self._of_process != os.getpid():
                return
            assert self._senders is not None
            self._senders.shutdown(wait=False, cancel_futures=True)
            for client in (self._client, self._patient_client):
                if client is not None:
                    client.close()
            self._client = None

    def encryption(self) -> dict[str, Any]:
        """What the requests that begin an object say of its encryption at rest."""
        match self.options.encryption:
            case "":
                return {}
            case "aws:kms":
                key = {"SSEKMSKeyId": self.options.kms_key} if self.options.kms_key else {}
                return {"ServerSideEncryption": "aws:kms", **key}
            case kind:
                return {"ServerSideEncryption": kind.upper()}

    def _patient(self) -> S3Client:
        self._ours()
        with self._lock:
            if self._patient_client is None:
                options = replace(self.options, timeout=max(PATIENCE, self.options.timeout), attempts=1)
                self._patient_client = _client(options, options.endpoint)
            return self._patient_client

    def _ours(self) -> S3Client:
        with self._lock:
            if self._client is None or self._of_process != os.getpid():
                self._client = _client(self.options, self.options.endpoint)
                self._presigner = self._patient_client = None
                self._senders = ThreadPoolExecutor(SENDERS, thread_name_prefix="windlass-s3")
                self._of_process = os.getpid()
            return self._client


#: Reads the descriptions of the protocol, some megabytes of JSON, once for all clients.
_LOADER = create_loader()


def _client(options: Options, endpoint: str) -> S3Client:
    described = botocore.session.Session()
    described.register_component("data_loader", _LOADER)
    session = boto3.session.Session(
        botocore_session=described,
        aws_access_key_id=options.access_key or None,
        aws_secret_access_key=options.secret_key or None,
        aws_session_token=options.session_token or None,
        region_name=options.region or None,
    )
    # A checksum of our own goes with every part, so TLS need not be signed through again; plain HTTP is.
    s3: Any = {"addressing_style": options.addressing}
    if not endpoint.startswith("http://"):
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
    made: S3Client = session.client("s3", endpoint_url=endpoint or None, region_name=region, config=config)
    made.meta.events.register("before-sign.s3.PutObject", _checksum_into_url)
    return made


def _checksum_into_url(request: Any, signature_version: str, **_said: Any) -> None:
    """A checksum of a presigned request stands in its URL, as in those that other SDKs make: some stores look for it
    there when they work the signature out, and whoever sends the request need know nothing of it."""
    if signature_version.endswith("-query"):
        for name in [name for name in request.headers if name.lower().startswith("x-amz-checksum-")]:
            request.params[name] = request.headers[name]
            del request.headers[name]


def proof(data: Buffer, kind: str) -> dict[str, Any]:
    """The request field by which the store can tell that ``data`` arrived as it is."""
    if kind == "md5":
        return {"ContentMD5": base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()}
    return {"ChecksumCRC32": base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()}
