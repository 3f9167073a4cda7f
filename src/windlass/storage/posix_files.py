"""System calls of the local store: open without following symlinks, write all bytes, copy, lock and sync."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import BinaryIO

from windlass.kernel import process_counters
from windlass.kernel.clock import monotonic
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
    """Translate the errors of the operating system into those of the contract."""
    try:
        yield
    except OSError as error:
        reason = f"{key or 'the store'}: {error.strerror}"
        if error.errno in _FULL:
            raise StoreFull(reason) from error
        if error.errno == errno.EEXIST:
            raise StoreError(reason) from error
        raise (ObjectMissing if error.errno in _MISSING else StoreUnavailable)(reason) from error


@contextmanager
def directory(root: str, parts: Sequence[str]) -> Iterator[int]:
    """Yield a descriptor of ``root``/``parts``, as ``open_path`` opens it."""
    with closing(open_path(root, parts)) as descriptor:
        yield descriptor


def open_path(root: str, parts: Sequence[str], *, make: bool = False) -> int:
    """Open the directory ``root``/``parts``; each part is opened in its parent, so no symlink below the root counts.

    ``make``: create missing directories and make them durable before they are used.
    """
    descriptor = _open_root(root)
    for part in parts:
        above = descriptor
        try:
            descriptor = open_directory(above, part, make)
        finally:
            os.close(above)
    return descriptor


def _open_root(root: str) -> int:
    try:
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        # Not ObjectMissing: if a file system is not mounted, its objects may still exist.
        raise StoreUnavailable(f"The store's directory cannot be opened: {error.strerror}") from error


@contextmanager
def closing(descriptor: int) -> Iterator[int]:
    """Yield the descriptor and close it afterwards."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_directory(parent: int, name: str, make: bool = False) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
        sync_directory(parent)
    except FileExistsError:
        pass  # another process created it; if it is no directory, the next line raises
    return os.open(name, _DIRECTORY, dir_fd=parent)


def open_regular(name: str, flags: int, parent: int) -> int:
    """Open a regular file. Anything else under this name counts as missing: EISDIR."""
    descriptor = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600, dir_fd=parent)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))


def write_all(descriptor: int, offset: int, buffers: Sequence[Buffer]) -> int:
    """Write all buffers at ``offset`` with as few system calls as possible; return the number of bytes."""
    views = [view for view in (memoryview(b).cast("B") for b in buffers) if view.nbytes]
    start, first = offset, 0
    while first < len(views):
        written = _write_some(descriptor, views[first : first + _IOV_MAX], offset)
        offset += written
        while written:
            done = min(written, views[first].nbytes)
            written -= done
            views[first] = views[first][done:]
            first += not views[first].nbytes
    return offset - start


if hasattr(os, "pwritev"):

    def _write_some(descriptor: int, buffers: Sequence[memoryview], offset: int) -> int:
        return os.pwritev(descriptor, buffers, offset)

else:  # macOS before 11

    def _write_some(descriptor: int, buffers: Sequence[memoryview], offset: int) -> int:
        return os.pwrite(descriptor, buffers[0], offset)


#: The kernel or the file system cannot copy between two files (copy_file_range(2)).
_CANNOT_COPY = {errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY}
_COPY_SIZE = 1024 * 1024


def copy_range(source: int, start: int, target: int, offset: int, size: int) -> int:
    """Copy ``size`` bytes from one file to another, or fewer if the source ends; return the number.

    The kernel copies if it can; otherwise the bytes are read and written in blocks.
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
    return done + _copy_blocks(source, start + done, target, offset + done, size - done)


if hasattr(os, "copy_file_range"):

    def _copy_in_kernel(source: int, start: int, target: int, offset: int, size: int) -> int:
        return os.copy_file_range(source, target, size, start, offset)

else:  # macOS

    def _copy_in_kernel(source: int, start: int, target: int, offset: int, size: int) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def _copy_blocks(source: int, start: int, target: int, offset: int, size: int) -> int:
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
        """Lock these bytes against every other open file. Raises BlockingIOError if one has locked any of them."""
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, 0, start, max(length, 1), 0))

    def unlock_regions(descriptor: int) -> None:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_UNLCK, 0, 0, 0, 0))

else:

    def lock_region(descriptor: int, start: int, length: int) -> None:
        """Python has no such lock on this platform: only the records say who writes what."""

    def unlock_regions(descriptor: int) -> None:
        """See ``lock_region``."""


def _find_sync_file_range() -> Callable[[int, int, int, int], int] | None:
    """sync_file_range(2), which only Linux has."""
    found = getattr(ctypes.CDLL(None), "sync_file_range", None) if sys.platform == "linux" else None
    if found is not None:
        found.argtypes, found.restype = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint], ctypes.c_int
    return found


_sync_file_range = _find_sync_file_range()
_SYNC_FILE_RANGE_WRITE = 2


def start_writeback(descriptor: int, offset: int, size: int) -> None:
    """Let the kernel begin to write dirty pages, where it can. Errors are left to ``sync_data``, which reports them."""
    if _sync_file_range is not None:
        _sync_file_range(descriptor, offset, size, _SYNC_FILE_RANGE_WRITE)


def sync_data(descriptor: int) -> None:
    """Make the bytes and the size of a file durable. Raises SyncFailed.

    After a failure the kernel may drop the dirty pages and the error, so a second call that succeeds proves nothing.
    """
    began = monotonic()
    try:
        if sys.platform == "darwin":
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync there stops at the drive's cache
        else:
            os.fdatasync(descriptor)
        process_counters.sync_seconds.observe(monotonic() - began, "data")
    except OSError as error:
        raise SyncFailed(f"The bytes could not be made durable: {error.strerror}") from error


def sync_directory(descriptor: int) -> None:
    """Make the created, renamed and removed names of a directory durable. Raises SyncFailed."""
    began = monotonic()
    try:
        os.fsync(descriptor)
        process_counters.sync_seconds.observe(monotonic() - began, "directory")
    except OSError as error:
        if error.errno != errno.EINVAL:  # this file system cannot sync directories
            raise SyncFailed(f"A directory could not be made durable: {error.strerror}") from error


def drop_from_page_cache(file: BinaryIO, start: int = 0, length: int = 0) -> None:
    """Drop these bytes from the system's page cache, so that reading everything does not displace what is in use.

    ``length`` 0: up to the end. Does nothing for objects that are not files of this machine, and on systems without
    ``posix_fadvise``.
    """
    # The file of an encrypted object: its bytes are offset by the header, which is less than a page.
    stored: BinaryIO = getattr(getattr(file, "raw", None), "stored", file)
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # io.UnsupportedOperation is one
            os.posix_fadvise(stored.fileno(), start, length, os.POSIX_FADV_DONTNEED)
