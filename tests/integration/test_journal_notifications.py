"""Readers of the journal are notified of what other processes have committed, without looking."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from tests.django_home import set_up_here

pytest_plugins = ["tests.integration.record_plane"]

PUBLISH = f"""
from {set_up_here.__module__} import set_up_here
set_up_here()
from windlass.events.api import EventType, recording
with recording() as recorder:
    recorder.add(EventType.FILE_STEP, owner="somebody")
"""


def test_an_event_of_another_process_notifies_a_reader(database: Path, configure: Callable[..., None]) -> None:
    from windlass.events import api as events

    configure(CELERY_TASK_ALWAYS_EAGER="false")
    notified = threading.Event()
    stop = events.add_listener(notified.set)
    subprocess.run([sys.executable, "-c", PUBLISH], check=True)
    assert notified.wait(30)
    stop()
