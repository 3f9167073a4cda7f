"""Errors of backups."""


class BackupError(Exception):
    """The backup or restore cannot go on. The text says what to do."""
