"""Reads one stored object as it lies in its store, and judges it by its row. Nothing is held but one block."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable
from typing import BinaryIO

from windlass import conf
from windlass.files.api import Blob, Damage, Finding, Rendition
from windlass.storage import page_cache
from windlass.storage.contract import ObjectMissing, StoreError, StoreUnavailable
from windlass.storage.registry import store

BLOCK = conf.MB
#: Bytes that are read before the operating system is told to forget them.
FORGET = 8 * conf.MB
#: Called with the size of each block that was read; may wait, and may raise Stopped.
Took = Callable[[int], None]


class Unread(Exception):
    """The object could not be read now, which says nothing of its bytes."""


def judge(blob: Blob, took: Took) -> str | Finding:
    """The SHA-256 of the bytes, or in what way they are not those of the row. Raises Unread, StoreUnavailable, and what
    ``took`` raises."""
    try:
        with store(blob.store).open(blob.key) as file:
            return _hash(file, blob, took)
    except ObjectMissing:
        return _missing(blob.store)
    except StoreUnavailable:
        raise
    except StoreError as error:
        return _unreadable(blob.store, error)
    except OSError as error:
        if error.errno != errno.EIO:
            raise Unread(str(error)) from error
        return _unreadable(blob.store, error)


def judge_rendition(made: Rendition) -> Finding | None:
    """Whether it is there, and as long as it was made. It can be made anew, and so has no digest. Raises as above."""
    try:
        size = store(made.store).info(made.key).size
    except ObjectMissing:
        return _missing(made.store)
    if size == made.size:
        return None
    return Finding(Damage.SHORT if size < made.size else Damage.LONG, f"{size} bytes are there, {made.size} were made")


def answers(name: str) -> bool:
    """Whether the store as a whole can be used."""
    try:
        store(name).check()
        return _holds_anything(name)
    except StoreError:
        return False


def _hash(file: BinaryIO, blob: Blob, took: Took) -> str | Finding:
    digest, seen, forgotten = hashlib.sha256(), 0, 0
    page_cache.drop(file)
    while block := file.read(BLOCK):
        digest.update(block)
        seen += len(block)
        if seen - forgotten >= FORGET:
            page_cache.drop(file, forgotten, seen - forgotten)
            forgotten = seen
        took(len(block))
        if seen > blob.size:
            return Finding(Damage.LONG, f"more than {blob.size} bytes are there")
    page_cache.drop(file)
    if seen < blob.size:
        return Finding(Damage.SHORT, f"{seen} bytes of {blob.size} are there")
    if blob.sha256 is not None and digest.hexdigest() != blob.sha256:
        return Finding(Damage.CHANGED, f"SHA-256 {digest.hexdigest()}; it was {blob.sha256}")
    return digest.hexdigest()


def _unreadable(name: str, error: Exception) -> Finding:
    """Raises Unread where it is the store that cannot be used, as one that is no longer configured."""
    if not answers(name):
        raise Unread(str(error)) from error
    return Finding(Damage.UNREADABLE, str(error))


def _missing(name: str) -> Finding:
    """Raises Unread where the store has nothing at all: that is a disk that is not mounted, or another bucket, rather
    than the loss of every object at once."""
    if _holds_anything(name):
        return Finding(Damage.MISSING, "no such object")
    raise Unread("The store is empty. Is it the right one?")


def _holds_anything(name: str) -> bool:
    return next(store(name).objects(), None) is not None
