"""A worker process that runs one job: ``worker.py JOB HOLDER``."""

import sys
import uuid

import django

django.setup()

from windlass.jobs import notify  # noqa: E402  Django first
from windlass.processing import api as processing  # noqa: E402

notify.notify_workers = lambda job_id, stage: None
processing.run_job(uuid.UUID(sys.argv[1]), sys.argv[2])
processing.shut_down()
