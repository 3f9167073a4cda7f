"""``python manage.py cleanup_expired_uploads``: clean up upload sessions now, as the sweep does periodically."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.template.defaultfilters import filesizeformat

from windlass.files import deletion
from windlass.files.models import UploadSession


class Command(BaseCommand):
    help = (
        "Expire uploads past their end, free their bytes, and forget those that ended longer ago than "
        "SESSION_RETENTION_HOURS. Files are not changed. The scheduler does the same every SWEEP_SECONDS."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--hours", type=_hours, help="Also expire uploads to which nothing was written for this many hours."
        )
        parser.add_argument("--dry-run", action="store_true", help="Change nothing; print what would be done.")
        parser.add_argument("--verbose", action="store_true", help="Print each upload.")

    def handle(self, *args: Any, **options: Any) -> None:
        dry_run = options["dry_run"]
        self._verbose = options["verbose"] or options["verbosity"] > 1
        cleaned = deletion.clean_up_uploads(idle_hours=options["hours"], dry_run=dry_run, on_change=self._print)
        size = filesizeformat(cleaned.bytes_freed).replace("\xa0", " ")
        would = "would be " if dry_run else ""
        self.stdout.write(
            f"{cleaned.expired} uploads {would}expired, {cleaned.bytes_freed} bytes ({size}) {would}freed, "
            f"{cleaned.deleted} ended uploads {would}forgotten."
        )

    def _print(self, what: str, session: UploadSession, freed: int) -> None:
        if self._verbose:
            self.stdout.write(
                f"{what} {session.id} {session.dialect} {session.owner} {session.filename!r} {session.status} "
                f"{session.offset} of {'?' if session.size is None else session.size} bytes, {freed} on disk, "
                f"last written {session.updated_at:%Y-%m-%d %H:%M} UTC"
            )


def _hours(text: str) -> float:
    hours = float(text)
    if not 0 <= hours < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number of hours")
    return hours
