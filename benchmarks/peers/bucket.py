"""Servers that store in a bucket, each with its own S3 server, which is the same program for both.

The S3 server is versitygw with a directory, in the version that the tests pin.
"""

from __future__ import annotations

import contextlib
import re
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from benchmarks import dialects
from benchmarks.measure import ProcessTree
from benchmarks.peers.base import (
    ROOT,
    TOOLS,
    Companions,
    Peer,
    UnavailableError,
    find_tool,
    free_port,
    run_tool,
    running_process,
    wait_for_answer,
)
from benchmarks.peers.tusd import Tusd
from benchmarks.peers.windlass import Windlass

MODULE = ROOT / "tests" / "s3_server"
PACKAGE = "github.com/versity/versitygw"
BUCKET, REGION, ACCESS, SECRET = "bench", "us-east-1", "benchmark", "no secret at all"
KEYS = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}


def gateway() -> tuple[Path, str]:
    """Return the S3 server's program, built once by go, and its version."""
    requirements = (MODULE / "go.mod").read_text()
    version = re.findall(rf"{PACKAGE} (v\S+)", requirements)[0]
    program = TOOLS / f"versitygw-{version}"
    if not program.exists():
        command = [find_tool("go"), "build", "-mod=readonly", "-buildvcs=false", "-o", str(program)]
        run_tool([*command, f"{PACKAGE}/cmd/versitygw"], cwd=MODULE, reason="go could not build versitygw")
    return program, version


class BucketPeer(Peer):
    """A server that stores in a bucket."""

    setup: ClassVar = "bucket"
    downloads: ClassVar = False

    @contextlib.contextmanager
    def companions(self, directory: Path, port: int) -> Iterator[Companions]:
        (directory / "bucket").mkdir()
        store_port = free_port()
        program, _ = gateway()
        command = [str(program), "--port", f"127.0.0.1:{store_port}", "--keep-alive", "--quiet", "posix"]
        keys = {"ROOT_ACCESS_KEY": ACCESS, "ROOT_SECRET_KEY": SECRET}
        with running_process([*command, str(directory / "bucket")], directory, "s3", keys) as process:
            wait_for_answer(process, store_port, directory / "s3.log")
            endpoint = f"http://127.0.0.1:{store_port}"
            _client(endpoint).create_bucket(Bucket=BUCKET)
            yield self.companions_with(port, endpoint, ProcessTree(process.pid))

    @abstractmethod
    def companions_with(self, port: int, endpoint: str, store: ProcessTree) -> Companions:
        """Return the server's settings for the bucket."""


class TusdInBucket(BucketPeer, Tusd):
    key = "tusd-s3"
    name = "tusd (S3)"

    def prepare(self) -> str:
        return f"{super().prepare()}, over versitygw {gateway()[1]}"

    def command(self, directory: Path, port: int) -> list[str]:
        return self.listening(port)

    def companions_with(self, port: int, endpoint: str, store: ProcessTree) -> Companions:
        options = (f"-s3-bucket={BUCKET}", f"-s3-endpoint={endpoint}")
        return Companions(port, KEYS | {"AWS_REGION": REGION}, options, store=store)


class WindlassInBucket(BucketPeer, Windlass):
    key = "windlass-s3"
    name = "Windlass (S3)"
    durability = "strict"
    dialects: ClassVar = {"tus": dialects.tus, "PUT of chunks": dialects.chunks}

    def prepare(self) -> str:
        return f"{super().prepare()}, over versitygw {gateway()[1]}"

    def companions_with(self, port: int, endpoint: str, store: ProcessTree) -> Companions:
        place = {"AWS_S3_ENDPOINT_URL": endpoint, "AWS_STORAGE_BUCKET_NAME": BUCKET, "AWS_S3_REGION_NAME": REGION}
        return Companions(port, KEYS | place | {"STORAGE_BACKEND": "s3"}, store=store)


def _client(endpoint: str) -> Any:
    try:
        import boto3  # imported here because the other peers do not need it
    except ImportError as error:
        raise UnavailableError("the extra `s3` is not installed") from error
    keys = {"aws_access_key_id": ACCESS, "aws_secret_access_key": SECRET}
    return boto3.client("s3", endpoint_url=endpoint, region_name=REGION, **keys)
