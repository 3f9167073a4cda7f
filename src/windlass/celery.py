"""Celery's side of the wiring: configuration, and the one task, whose body is a job's id."""

from __future__ import annotations

from windlass.jobs.wake import app

__all__ = ["app"]
