"""Create received files and run their jobs."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from windlass import conf
from windlass.events.api import Event, recording
from windlass.files.api import Blob, FileAsset, StepRun
from windlass.jobs import api as jobs
from windlass.processing import api as processing
from windlass.processing.sandbox.channel import ChildChannel
from windlass.processing.sandbox.client import Sandbox
from windlass.storage.registry import store

HERE = Path(__file__).parent
Found = TypeVar("Found")


def received(content: bytes, filename: str, *, run_intake: bool = False, **values: object) -> FileAsset:
    """Create a file record with its first job queued, as completing an upload does."""
    key = f"objects/{uuid.uuid4()}"
    store().put(key, io.BytesIO(content), len(content))
    values = {"owner": f"owner-{uuid.uuid4()}", "profile": "default"} | values
    with recording():
        blob = Blob.objects.create(owner=values["owner"], store=store().name, key=key, size=len(content))
        asset = FileAsset.objects.create(blob=blob, original_filename=filename, size=len(content), **values)
        jobs.enqueue(jobs.Stage.INTAKE, asset.id)
    if run_intake:
        processing.run_job(job_of(asset, jobs.Stage.INTAKE).id, "test", queues_of(jobs.Stage.INTAKE))
    return asset


def queues_of(*stages: jobs.Stage) -> list[jobs.Queue]:
    """The queues of a worker that serves these stages."""
    return [queue for queue in jobs.QUEUES if queue.stage in stages]


def job_of(asset: FileAsset, stage: jobs.Stage) -> jobs.Job:
    return jobs.Job.objects.filter(file_id=asset.id, stage=stage).latest("run")


def work_off(asset: FileAsset, holder: str = "test") -> FileAsset:
    """Run this file's jobs until none is queued, like a worker, but without waiting for backoff."""
    while True:
        queued = jobs.Job.objects.filter(file_id=asset.id, state=jobs.JobState.QUEUED)
        job = queued.order_by("created_at").first()
        if job is None:
            break
        queued.update(due_at=job.created_at)
        processing.run_job(job.id, holder)
    return FileAsset.objects.get(id=asset.id)


def processed(content: bytes, filename: str, **values: object) -> FileAsset:
    return work_off(received(content, filename, **values))


def step(asset: FileAsset, name: str) -> StepRun:
    return StepRun.objects.filter(file=asset, step=name).latest("run")


def events(asset: FileAsset, kind: str) -> list[Mapping[str, object]]:
    return [event.data for event in Event.objects.filter(file_id=asset.id, type=kind).order_by("id")]


def scratch() -> list[Path]:
    directory = conf.get().windlass_home / "scratch"
    return list(directory.iterdir()) if directory.exists() else []


def eventually(look: Callable[[], Found], seconds: float = 30) -> Found:
    """Return the first true value of ``look``."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, "the condition did not become true"
        time.sleep(0.02)
    return found


def worker(job: jobs.Job, holder: str, **environment: str) -> subprocess.Popen[bytes]:
    """A worker process of its own that runs this job and ends."""
    return subprocess.Popen(
        [sys.executable, str(HERE / "worker.py"), str(job.id), holder],
        env={**os.environ, "PYTHONPATH": str(HERE / "plugin"), **environment},
    )


@contextmanager
def counting_forks() -> Iterator[list[object]]:
    """The children that this process's sandbox is asked for meanwhile."""
    lines: list[object] = []
    fork = Sandbox.fork

    def counted(self: Sandbox, *arguments: Any) -> ChildChannel:
        line = fork(self, *arguments)
        lines.append(line)
        return line

    Sandbox.fork = counted  # type: ignore[method-assign]
    try:
        yield lines
    finally:
        Sandbox.fork = fork  # type: ignore[method-assign]


def descendants(pid: int) -> list[int]:
    """Every living process below this one."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                state, parent = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if state != "Z":
                children.setdefault(int(parent), []).append(int(name))
    found = children.get(pid, [])
    return found + [below for child in found for below in descendants(child)]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
