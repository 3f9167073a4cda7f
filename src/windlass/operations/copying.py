"""Copies one stored object into another store: block by block, hashed on the way, durable when it returns."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from typing import BinaryIO

from windlass import conf
from windlass.storage.contract import Store

BLOCK = conf.MB
#: An object no larger than this is put into the store at once.
AT_ONCE = conf.MB


class SourceDamaged(Exception):
    """The object is not what its record says, or cannot be read."""


def copy(source: BinaryIO, size: int, target: Store, key: str, took: Callable[[int], None]) -> str:
    """The SHA-256 of the ``size`` bytes of ``source``, which are in ``target`` now. ``took`` is told of each block.

    Raises SourceDamaged where it has fewer or more, StoreError, what ``took`` raises; then something of the copy may be
    there.
    """
    digest = hashlib.sha256()
    blocks = _blocks(source, size, digest.update, took)
    if size <= AT_ONCE:
        target.put(key, io.BytesIO(b"".join(blocks)), size)
    else:
        _write(target, key, size, blocks)
    return digest.hexdigest()


def _blocks(
    source: BinaryIO, size: int, update: Callable[[bytes], None], took: Callable[[int], None]
) -> Iterator[bytes]:
    left = size
    while block := _read(source, min(BLOCK, left) or 1):
        left -= len(block)
        if left < 0:
            raise SourceDamaged(f"it is longer than the {size} bytes of its record")
        update(block)
        yield block
        took(len(block))
    if left:
        raise SourceDamaged(f"it ends after {size - left} of {size} bytes")


def _read(source: BinaryIO, size: int) -> bytes:
    try:
        return source.read(size)
    except OSError as error:
        raise SourceDamaged(f"it cannot be read: {error.strerror or error}") from error


def _write(target: Store, key: str, size: int, blocks: Iterator[bytes]) -> None:
    state = target.create(key, durable=True, at_most=size)
    writer, offset = target.open_writer(key, state), 0
    try:
        for block in blocks:
            offset += writer.write(offset, [block])
        writer.finish(size)
    finally:
        writer.close()
