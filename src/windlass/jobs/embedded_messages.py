"""Notifications for the embedded broker, written without Celery and kombu.

They are the messages that Celery's producer makes (protocol 2) as the transport stores them, so that workers of every
version read them. A process that only notifies need not import Celery, which takes 6 MB and most of a message's time.
"""

from __future__ import annotations

import json
import os
import socket
import uuid
from base64 import b64encode
from pathlib import Path
from typing import Any

from windlass.jobs.queue_directory import PIPES, QueueDirectory
from windlass.jobs.states import QUEUES, Queue
from windlass.kernel import named_pipes
from windlass.kernel.ids import new_id

#: The third part of a task message's body: nothing follows the task.
NO_CALLBACKS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}

#: What is replaced in the text of a message. Neither is changed by JSON.
_JOB, _TASK, _BODY, _TAG = "{job}", "{task}", "{body}", "{tag}"


class EmbeddedSender:
    """Writes notifications of ``task`` into the queues below ``folder``. Use it in one thread at a time."""

    def __init__(self, folder: Path, task: str) -> None:
        """Raises OSError."""
        self._pipes = folder / PIPES
        self._queues = {queue: QueueDirectory(folder / queue.name) for queue in QUEUES}
        for directory in self._queues.values():
            directory.prepare()
        self._body = json.dumps([[_JOB], {}, NO_CALLBACKS])
        self._messages = {queue: json.dumps(_message(task, queue.name)) for queue in QUEUES}

    def publish(self, job_id: uuid.UUID, queue: Queue) -> None:
        """Raises OSError."""
        body = b64encode(self._body.replace(_JOB, str(job_id)).encode()).decode()
        message = self._messages[queue].replace(_JOB, str(job_id)).replace(_TASK, str(new_id()))
        self._queues[queue].put(message.replace(_BODY, body).replace(_TAG, str(new_id())).encode())

    def wake(self) -> None:
        named_pipes.notify(self._pipes)

    def close(self) -> None:
        """Does nothing: no file is open."""


def _message(task: str, queue: str) -> dict[str, Any]:
    headers: dict[str, Any] = {
        "lang": "py",
        "task": task,
        "id": _TASK,
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": _TASK,
        "parent_id": None,
        "argsrepr": f"['{_JOB}']",
        "kwargsrepr": "{}",
        "origin": f"gen{os.getpid()}@{socket.gethostname()}",
        "ignore_result": True,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }
    properties = {
        "correlation_id": _TASK,
        "delivery_mode": 1,  # transient: the sweep replaces what a broker loses
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": _TAG,
    }
    return {
        "body": _BODY,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties,
    }
