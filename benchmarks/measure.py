"""Measure a load: time as clients see it, CPU and memory of all processes of the server."""

from __future__ import annotations

import contextlib
import multiprocessing
import resource
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from typing import Any

import psutil

MIB = 1024 * 1024
GIB = 1024 * MIB
SAMPLE_SECONDS = 0.1
FORK = multiprocessing.get_context("fork")


class ProcessTree:
    """A server's processes: the roots and all their descendants."""

    def __init__(self, *pids: int) -> None:
        self._roots = [psutil.Process(pid) for pid in pids]

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far. The time of an ended child is included in the parent that reaped it."""
        total = 0.0
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                total += sum(process.cpu_times()[:4])
        return total

    def resident_bytes(self) -> list[int]:
        """Return the resident memory of each process. Shared pages count in each of them."""
        sizes = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                sizes.append(process.memory_info().rss)
        return sizes

    def processes(self) -> list[psutil.Process]:
        return [each for root in self._roots for each in (root, *root.children(recursive=True))]


class PeakMemory:
    """Records the peak memory while it is open: of all processes together, and of the largest."""

    def __init__(self, tree: ProcessTree) -> None:
        self.total = 0
        self.largest = 0
        self._tree = tree
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._sample()

    def _run(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        sizes = self._tree.resident_bytes()
        self.total = max(self.total, sum(sizes))
        self.largest = max(self.largest, *sizes)


@dataclass(frozen=True)
class Cost:
    """The results of the clients, and the cost of the load."""

    results: list[Any]
    seconds: float
    server_cpu_seconds: float
    client_cpu_seconds: float
    peak_total_mib: float
    peak_largest_mib: float

    def figures(self) -> dict[str, float]:
        """Return the figures that every workload reports."""
        return {
            "seconds": self.seconds,
            "server_cpu_seconds": self.server_cpu_seconds,
            "client_cpu_seconds": self.client_cpu_seconds,
            "peak_total_mib": self.peak_total_mib,
            "peak_largest_mib": self.peak_largest_mib,
        }


def run_clients(tree: ProcessTree, clients: Sequence[Callable[[], Any]]) -> Cost:
    """Run every client in its own process; all start at the same moment.

    Threads of one Python process would wait for each other, and the measurement would show that. The processes are
    forked before the measurement and before this process has a second thread.
    """
    barrier = FORK.Barrier(len(clients) + 1)
    pipes, processes = [], []
    for client in clients:
        ours, theirs = FORK.Pipe(duplex=False)
        process = FORK.Process(target=_client, args=(client, barrier, theirs), daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    client_cpu = _children_cpu()
    server_cpu = tree.cpu_seconds()
    with PeakMemory(tree) as memory:
        barrier.wait(timeout=60)
        outcomes = [_outcome(pipe) for pipe in pipes]
    server_cpu = tree.cpu_seconds() - server_cpu
    for process in processes:
        process.join()
    return Cost(
        results=[result for _, _, result in outcomes],
        seconds=max(ended for _, ended, _ in outcomes) - min(started for started, _, _ in outcomes),
        server_cpu_seconds=server_cpu,
        client_cpu_seconds=_children_cpu() - client_cpu,
        peak_total_mib=memory.total / MIB,
        peak_largest_mib=memory.largest / MIB,
    )


def _client(client: Callable[[], Any], barrier: Any, pipe: Pipe) -> None:
    try:
        barrier.wait(timeout=60)
        started = time.monotonic()
        result = client()
        pipe.send((started, time.monotonic(), result))
    except Exception as error:  # noqa: BLE001  the boundary of a process: the parent raises it
        pipe.send(error)


def _outcome(pipe: Pipe) -> tuple[float, float, Any]:
    outcome = pipe.recv()
    if isinstance(outcome, Exception):
        raise outcome
    started, ended, result = outcome
    return started, ended, result


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
