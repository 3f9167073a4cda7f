"""Where backups are: a directory or a prefix of an S3 bucket, opened as a store of its own.

A location holds many backups, which share one area of objects:

``objects/ab/<sha256>``
    the bytes of a file or rendition, named by their SHA-256
``backups/<id>/``
    ``database.…``, ``objects.jsonl``, perhaps ``secret-key``, and ``backup.json``, which is written last

With an encryption key every one of them is encrypted.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from windlass.conf import BadSetting, Settings, validators
from windlass.kernel import object_keys, secret_keys
from windlass.operations.backup.errors import BackupError
from windlass.storage.contract import Store, StoreError
from windlass.storage.encryption.header import KEY_RECORDS, Keyring
from windlass.storage.encryption.store import EncryptedStore
from windlass.storage.local import LocalStore

OBJECTS, BACKUPS = "objects/", "backups/"
S3_SCHEME = "s3://"


def open_location(text: str, settings: Settings, *, create: bool = False) -> Store:
    """Open a directory, or ``s3://bucket/prefix`` with the settings BACKUP_S3_… and AWS_…

    ``create`` creates a missing directory. Raises BackupError, BadSetting.
    """
    inner = _open_bucket(text, settings) if text.startswith(S3_SCHEME) else _open_directory(text, create=create)
    inner.name = "backup"
    try:
        return EncryptedStore(inner, _keyring(settings))
    except StoreError as error:
        raise BackupError(str(error)) from error


@contextmanager
def locked(text: str, *, shared: bool = False) -> Iterator[None]:
    """Hold a directory of backups against a second backup or pruning; a bucket has no lock. Raises BackupError."""
    if text.startswith(S3_SCHEME):
        yield
        return
    descriptor = os.open(Path(text).expanduser(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError(f"another command is using the backups in {text}: wait until it has ended") from None
        yield
    finally:
        os.close(descriptor)


def require_apart_from_stores(text: str, stores: dict[str, Settings]) -> None:
    """Refuse a location within a store: the sweep would delete the backups. Raises BackupError."""
    for name, settings in stores.items():
        if settings.storage_backend == "local" and not text.startswith(S3_SCHEME):
            here, media = Path(text).expanduser().resolve(), settings.media_directory.resolve()
            if here.is_relative_to(media):
                raise BackupError(f"{text} is inside the directory of the store {name!r}: use another directory")
        if settings.storage_backend == "s3" and text.startswith(S3_SCHEME):
            bucket, prefix = _bucket_and_prefix(text)
            location = settings.aws_location.strip("/")
            if bucket == settings.aws_storage_bucket_name and prefix.strip("/") == location:
                raise BackupError(f"{text} is where the store {name!r} keeps its files: use another prefix or bucket")


def _open_directory(text: str, *, create: bool) -> Store:
    path = Path(text).expanduser().absolute()
    if "://" in text:
        raise BackupError(f"{text!r} is no place for backups: name a directory, or s3://bucket/prefix")
    if not create and not path.is_dir():
        raise BackupError(f"there is no directory {path}")
    try:
        return LocalStore(path)
    except StoreError as error:
        raise BackupError(f"the directory {path} cannot be created: {error}") from error


def _open_bucket(text: str, settings: Settings) -> Store:
    try:
        from windlass.storage.s3.options import Options
        from windlass.storage.s3.store import S3Store
    except ImportError as error:
        raise BackupError("s3:// needs the S3 client: pip install 'windlass[s3]'") from error
    bucket, prefix = _bucket_and_prefix(text)
    if bool(settings.backup_s3_access_key_id) != bool(settings.backup_s3_secret_access_key):
        raise BadSetting("BACKUP_S3_ACCESS_KEY_ID and BACKUP_S3_SECRET_ACCESS_KEY must be set together or not at all")
    options = replace(Options.from_settings(settings), bucket=bucket, prefix=prefix, public_endpoint="")
    if settings.backup_s3_access_key_id:
        options = replace(
            options,
            access_key=settings.backup_s3_access_key_id,
            secret_key=settings.backup_s3_secret_access_key,
            session_token="",
        )
    options = replace(
        options,
        endpoint=settings.backup_s3_endpoint_url or options.endpoint,
        region=settings.backup_s3_region_name or options.region,
    )
    return S3Store(options, prefixes=(OBJECTS, BACKUPS, KEY_RECORDS, object_keys.CHECKS))


def _bucket_and_prefix(text: str) -> tuple[str, str]:
    """Return the bucket and the prefix of keys, which is empty or ends with a slash. Raises BackupError."""
    parts = urlsplit(text)
    prefix = parts.path.strip("/")
    wrong = validators.key_prefix(prefix)
    if not parts.netloc or parts.query or parts.fragment or wrong:
        raise BackupError(f"{text!r} is not s3://bucket/prefix" + (f": {wrong}" if wrong else ""))
    return parts.netloc, f"{prefix}/" if prefix else ""


def _keyring(settings: Settings) -> Keyring:
    current = settings.backup_encryption_key or settings.encryption_key
    old = [settings.encryption_key] * bool(settings.backup_encryption_key and settings.encryption_key)
    keys = [secret_keys.parse(key) for key in (*old, *settings.encryption_old_keys)]
    return Keyring(secret_keys.parse(current) if current else None, keys)
