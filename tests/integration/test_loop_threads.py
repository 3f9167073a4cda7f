"""Threads that work for coroutines: what they return, raise, leave out and finish."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading

from windlass.kernel.ids import new_id
from windlass.loop_threads import LoopThreads


def test_results_and_errors_reach_those_who_wait() -> None:
    def fail() -> None:
        raise LookupError("this one")

    async def run() -> list[object]:
        threads = LoopThreads("test", 2)
        return await asyncio.gather(
            threads.submit(lambda: 7), threads.submit(fail), threads.submit(lambda: 8), return_exceptions=True
        )

    first, failed, last = asyncio.run(run())
    assert (first, last) == (7, 8)
    assert isinstance(failed, LookupError)


def test_no_more_threads_than_allowed_and_idle_ones_are_used_again() -> None:
    async def run() -> tuple[int, int, set[str]]:
        threads, release, at_once = LoopThreads("test", 3), threading.Event(), threading.Semaphore(0)

        def block() -> str:
            at_once.release()
            release.wait(60)
            return threading.current_thread().name

        for _ in range(5):
            await threads.submit(lambda: None)
            await asyncio.sleep(0.05)  # until the thread waits again
        after_one_by_one = threading.active_count()
        blocked = [threads.submit(block) for _ in range(9)]
        await asyncio.to_thread(lambda: [at_once.acquire(timeout=60) for _ in range(3)])
        most = at_once._value
        release.set()
        return after_one_by_one, most, set(await asyncio.gather(*blocked))

    before = threading.active_count()
    after_one_by_one, most, names = asyncio.run(run())
    assert after_one_by_one == before + 1
    assert most == 0, "a fourth began while three were running"
    assert names == {"test_0", "test_1", "test_2"}


def test_work_cancelled_while_it_waits_does_not_begin() -> None:
    done: list[str] = []

    async def run() -> None:
        threads, release = LoopThreads("test", 1), threading.Event()
        first = threads.submit(lambda: release.wait(60))
        waiting = threads.submit(lambda: done.append("cancelled"))
        last = threads.submit(lambda: done.append("last"))
        waiting.cancel()
        release.set()
        await asyncio.gather(first, last)

    asyncio.run(run())
    assert done == ["last"]


AT_THE_END = """
import asyncio, time
from windlass.loop_threads import LoopThreads
threads = LoopThreads("test", 1)
def work(text):
    time.sleep(0.2)
    print(text)
async def run():
    threads.submit(lambda: work("begun"))
    threads.submit(lambda: work("waiting"))
asyncio.run(run())
"""


def test_what_waits_when_the_process_ends_is_done() -> None:
    ended = subprocess.run([sys.executable, "-c", AT_THE_END], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout.split() == ["begun", "waiting"]
    assert not ended.stderr


def test_a_forked_process_makes_other_ids_than_its_parent() -> None:
    new_id()  # random bytes for many ids are there
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, "".join(new_id().hex for _ in range(20)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    of_child = os.read(reading, 4096).decode()
    os.close(reading)
    os.close(writing)
    ids = [new_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert {each.version for each in ids} == {4}
    assert len(of_child) == 20 * 32
    assert not {of_child[at : at + 32] for at in range(0, 640, 32)} & {each.hex for each in ids}
