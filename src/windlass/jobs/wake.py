"""Ring the bell: a Celery message that names a job. Losing one costs time, never work."""

from __future__ import annotations

import uuid

from celery import Celery

from windlass.jobs.states import Stage

#: Windlass's own Celery application; ``windlass.celery`` configures it and holds the task. Another project's
#: application is left alone.
app = Celery("windlass", set_as_current=False, include=["windlass.celery"])  # type: ignore[no-untyped-call]

TASK = "windlass.run_job"


def ring(job_id: uuid.UUID, stage: Stage) -> None:
    app.send_task(TASK, args=[str(job_id)], queue=stage.value)  # type: ignore[no-untyped-call]
