"""File descriptors with the guarantees that the local store needs: no symlink followed, every byte written, synced."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from windlass.storage.contract import Buffer, ObjectMissing, StoreError, StoreFull, StoreUnavailable, SyncFailed

#: EFBIG: a limit on the size of one file, of the file system or of the process.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EMLINK}
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
#: ``sync_data`` or ``sync_directory``.
Sync = Callable[[int], None]
_IOV_MAX = os.sysconf("SC_IOV_MAX")


@contextmanager
def store_errors(key: str) -> Iterator[None]:
    """The operating system's errors in the words of the contract."""
    try:
        yield
    except OSError as error:
        raise _told(error, key) from error


def _told(error: OSError, key: str) -> StoreError:
    reason = f"{key or 'the store'}: {error.strerror}"
    if error.errno in _FULL:
        return StoreFull(reason)
    if error.errno == errno.EEXIST:
        return StoreError(reason)
    return ObjectMissing(reason) if error.errno in _MISSING else StoreUnavailable(reason)


@contextmanager
def directory(root: str, parts: Sequence[str], *, make: bool = False) -> Iterator[int]:
    """A descriptor of ``root``/``parts``, each part opened in its parent, so that no symlink below the root counts.

    ``make``: directories that are missing are made, and durable before they are used.
    """
    here = _open_root(root)
    try:
        for part in parts:
            there = _enter(here, part, make)
            os.close(here)
            here = there
        yield here
    finally:
        os.close(here)


def _open_root(root: str) -> int:
    try:
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        # Not ObjectMissing: a file system that is not mounted says nothing about the objects on it.
        raise StoreUnavailable(f"The store's directory cannot be opened: {error.strerror}") from error


@contextmanager
def subdirectory(parent: int, name: str) -> Iterator[int]:
    descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _enter(parent: int, name: str, make: bool) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
        sync_directory(parent)
    except FileExistsError:
        pass  # another process was faster; it is a directory, or the next line says what is wrong
    return os.open(name, _DIRECTORY, dir_fd=parent)


def open_regular(name: str, flags: int, parent: int) -> int:
    """A descriptor of a regular file. Anything else under this name is nothing of ours, so it is missing."""
    descriptor = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600, dir_fd=parent)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))


def write_all(descriptor: int, offset: int, buffers: Sequence[Buffer]) -> int:
    """Write every byte at ``offset`` and after; returns how many. Fewer system calls than buffers."""
    waiting = [view for view in (memoryview(b).cast("B") for b in buffers) if view.nbytes]
    start, first = offset, 0
    while first < len(waiting):
        written = _write_some(descriptor, waiting[first : first + _IOV_MAX], offset)
        offset += written
        while written:
            taken = min(written, waiting[first].nbytes)
            written -= taken
            waiting[first] = waiting[first][taken:]
            first += not waiting[first].nbytes
    return offset - start


if hasattr(os, "pwritev"):

    def _write_some(descriptor: int, buffers: Sequence[memoryview], offset: int) -> int:
        return os.pwritev(descriptor, buffers, offset)

else:  # macOS before 11

    def _write_some(descriptor: int, buffers: Sequence[memoryview], offset: int) -> int:
        return os.pwrite(descriptor, buffers[0], offset)


#: The kernel or the file system cannot copy between these two files (copy_file_range(2)).
_CANNOT_COPY = {errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY}
_COPY_SIZE = 1024 * 1024


def copy_range(source: int, start: int, target: int, offset: int, size: int) -> int:
    """Copy ``size`` bytes from one file to another; fewer where the source ends. Returns how many.

    The kernel does it where it can; else they are read and written piece by piece.
    """
    done = 0
    try:
        while done < size:
            copied = _copy_in_kernel(source, start + done, target, offset + done, size - done)
            if not copied:
                break
            done += copied
    except OSError as error:
        if error.errno not in _CANNOT_COPY:
            raise
    return done + _copy_by_hand(source, start + done, target, offset + done, size - done)


if hasattr(os, "copy_file_range"):

    def _copy_in_kernel(source: int, start: int, target: int, offset: int, size: int) -> int:
        return os.copy_file_range(source, target, size, start, offset)

else:  # macOS

    def _copy_in_kernel(source: int, start: int, target: int, offset: int, size: int) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def _copy_by_hand(source: int, start: int, target: int, offset: int, size: int) -> int:
    done = 0
    while done < size:
        block = os.pread(source, min(_COPY_SIZE, size - done), start + done)
        if not block:
            break
        done += write_all(target, offset + done, [block])
    return done


if sys.platform == "linux":
    #: ``struct flock`` of the kernel: type, whence, start, length (0: to the end), pid (0 for these locks).
    _FLOCK = "hhqqi4x"

    def lock_region(descriptor: int, start: int, length: int) -> None:
        """Keep every other open file from locking any of these bytes. Raises BlockingIOError where one has."""
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, 0, start, max(length, 1), 0))

    def unlock_regions(descriptor: int) -> None:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_UNLCK, 0, 0, 0, 0))

else:

    def lock_region(descriptor: int, start: int, length: int) -> None:
        """Python knows no such lock here: who writes what is told by the records alone."""

    def unlock_regions(descriptor: int) -> None:
        """See ``lock_region``."""


def sync_data(descriptor: int) -> None:
    """Bytes and size of a file reach the medium. Raises SyncFailed.

    After a failure the kernel may have dropped the dirty pages and forgotten the error, so a second call that succeeds
    would prove nothing.
    """
    try:
        if sys.platform == "darwin":
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync there stops at the drive's cache
        else:
            os.fdatasync(descriptor)
    except OSError as error:
        raise SyncFailed(f"The bytes could not be made durable: {error.strerror}") from error


def sync_directory(descriptor: int) -> None:
    """Names made, renamed or removed in a directory reach the medium. Raises SyncFailed."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot sync directories keeps no order to wait for
            raise SyncFailed(f"A directory could not be made durable: {error.strerror}") from error
