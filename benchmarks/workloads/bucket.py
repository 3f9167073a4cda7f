"""Large uploads into a bucket: the cost of the upload server and of the store."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.dialects import Dialect
from benchmarks.measure import GIB, MIB
from benchmarks.peers.base import Running
from benchmarks.workloads.base import CPU, LARGEST, Column
from benchmarks.workloads.uploads import CPU_UNTIL_PROCESSED, SPEED, Single, Uploads

STORE_CPU = Column("store_cpu_per_gib", "S3 server's CPU s/GiB", 2)


class BucketUploads(Uploads):
    """Uploads to servers that store in a bucket. The store's CPU time is measured until everything is processed."""

    setups: ClassVar = ("bucket",)
    columns: ClassVar = (SPEED, CPU, CPU_UNTIL_PROCESSED, STORE_CPU, LARGEST)

    def run(self, server: Running, dialect: Dialect) -> dict[str, float]:
        assert server.store is not None
        before = server.store.cpu_seconds()
        figures = super().run(server, dialect)
        stored = server.store.cpu_seconds() - before
        return figures | {"store_cpu_per_gib": stored * GIB / (self.count * self.size)}


class SingleIntoBucket(BucketUploads, Single):
    key = "s3-single"
    title = "One large upload into a bucket"


class ParallelIntoBucket(BucketUploads):
    key = "s3-parallel"
    title = "Several large uploads into a bucket at once"

    @property
    def count(self) -> int:
        return self.scale.bucket_parallel

    @property
    def size(self) -> int:
        return self.scale.large // self.count

    def describe(self) -> str:
        return f"{self.count} clients at once, each one file of {self.size // MIB} MiB"
