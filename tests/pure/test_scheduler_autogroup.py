"""Sessions of low priority, in processes that each lead a session. Linux only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists(), reason="this kernel does not share the processor by sessions"
)

#: Each child leads a session, has a niceness of 7, and lowers its session; "nobody" may do so every 100 ms only.
CHILDREN = """
import os, sys
from windlass.kernel.scheduler_autogroup import lower_own_session
from windlass.processing.sandbox import linux_calls
leads, user, count = sys.argv[1] == "leads", int(sys.argv[2]), int(sys.argv[3])
for _ in range(count):
    if os.fork() == 0:
        if leads:
            os.setsid()
        if user != os.getuid():
            os.setuid(user)
            linux_calls.prctl(linux_calls.PR_SET_DUMPABLE, 1)  # as after starting a program: /proc/self is its own
        os.nice(7)
        lower_own_session()
        os.write(1, open("/proc/self/autogroup").read().encode())
        os._exit(0)
for _ in range(count):
    os.wait()
"""


#: The niceness of a child.
LOWERED = min(os.getpriority(os.PRIO_PROCESS, 0) + 7, 19)


def niceness_of_sessions(role: str, user: int, count: int) -> list[int]:
    """What the children read. Their parent leads a session: a process that never had one has no group to read."""
    command = [sys.executable, "-c", CHILDREN, role, str(user), str(count)]
    output = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60, start_new_session=True
    ).stdout
    return [int(line.split()[-1]) for line in output.splitlines()]


def test_a_session_has_the_niceness_of_its_leader() -> None:
    assert niceness_of_sessions("leads", os.getuid(), 1) == [LOWERED]


def test_a_session_that_another_process_leads_is_left_alone() -> None:
    assert niceness_of_sessions("follows", os.getuid(), 1) == [0]


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_several_sessions_of_a_user_are_lowered_at_once() -> None:
    assert niceness_of_sessions("leads", 65534, 3) == [LOWERED] * 3
