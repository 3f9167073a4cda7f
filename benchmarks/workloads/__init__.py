"""The workloads."""

from benchmarks.workloads.base import Workload
from benchmarks.workloads.bucket import ParallelIntoBucket, SingleIntoBucket
from benchmarks.workloads.downloads import Download
from benchmarks.workloads.mixed import EachKind, Mixed, SandboxCost
from benchmarks.workloads.ready import Ready
from benchmarks.workloads.small import Processed, Small
from benchmarks.workloads.uploads import Parallel, Single

ALL: tuple[type[Workload], ...] = (
    Single,
    Parallel,
    Small,
    Processed,
    Download,
    SingleIntoBucket,
    ParallelIntoBucket,
    Ready,
    Mixed,
    EachKind,
    SandboxCost,
)
