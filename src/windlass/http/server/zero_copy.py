"""Send a file's bytes to a socket without reading them into this process (sendfile(2)): ASGI's "zero copy send".

Threads wait for the disk, the event loop waits for slow clients.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import sys
import termios
from dataclasses import dataclass
from typing import TypedDict

from windlass.executors import in_thread

MESSAGE = "http.response.zerocopysend"

#: Bytes that one call to a thread sends at most, before other requests may use the thread.
MAX_PER_CALL = 8 * 1024 * 1024
#: Milliseconds that a thread waits for a client that keeps up before it returns to the loop.
CLIENT_WAIT = 5
#: Seconds between two checks whether a slow client has read what was written before.
FLUSH_INTERVAL = 0.01


class Message(TypedDict):
    """``file`` is the descriptor of a regular file, which the sender closes."""

    type: str
    file: int
    offset: int
    count: int


@dataclass(slots=True)
class Progress:
    """Bytes that a connection has sent of files. ``waits``: it waits for its client."""

    sent: int = 0
    waits: bool = False


def is_possible(transport: asyncio.Transport) -> bool:
    """Whether bytes written to the socket reach the client unchanged: not under TLS."""
    return sys.platform == "linux" and transport.get_extra_info("sslcontext") is None


def unacknowledged_bytes(transport: asyncio.Transport) -> int:
    """Bytes in the kernel that the client has not acknowledged; 0 where the system does not report them."""
    if sys.platform != "linux":
        return 0
    with contextlib.suppress(OSError):
        sock = transport.get_extra_info("socket")
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    return 0


async def send(transport: asyncio.Transport, message: Message, progress: Progress) -> None:
    """Send what the message names, after everything that was written before. Raises EOFError where the file is shorter,
    OSError where the client has disconnected."""
    await _flushed(transport)
    if transport.is_closing():
        raise ConnectionResetError("the client is gone")
    # A duplicate, because the loop does not allow watching a descriptor of its transport.
    sock = os.dup(transport.get_extra_info("socket").fileno())
    try:
        await _send(sock, message["file"], message["offset"], message["count"], progress)
    finally:
        os.close(sock)


async def _flushed(transport: asyncio.WriteTransport) -> None:
    """Wait until everything that was written before, at least the reply's head, is in the kernel."""
    rounds = 0
    while transport.get_write_buffer_size() and not transport.is_closing():
        # The loop writes once per iteration; more than a few iterations mean that the client does not read.
        await asyncio.sleep(0 if rounds < 3 else FLUSH_INTERVAL)
        rounds += 1


async def _send(sock: int, file: int, offset: int, count: int, progress: Progress) -> None:
    end = offset + count
    while offset < end:
        sent = await _in_thread_uncancelled(sock, file, offset, min(end - offset, MAX_PER_CALL))
        offset += sent
        progress.sent += sent
        if not sent:
            progress.waits = True
            try:
                await _writable(sock)
            finally:
                progress.waits = False


async def _in_thread_uncancelled(sock: int, file: int, offset: int, count: int) -> int:
    """Wait for the thread even if cancelled: until it ends, its descriptors must not be closed and reused."""
    running = asyncio.ensure_future(in_thread(_send_some, sock, file, offset, count))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def _send_some(sock: int, file: int, offset: int, count: int) -> int:
    """Send what the client reads without waiting; 0 bytes where it reads nothing now."""
    done = 0
    while done < count:
        try:
            sent = os.sendfile(sock, file, offset + done, count - done)
        except BlockingIOError:
            if not done or not _keeps_up(sock):
                break
            continue
        if not sent:
            raise EOFError("the file is shorter than announced")
        done += sent
    return done


def _keeps_up(sock: int) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    return bool(poll.poll(CLIENT_WAIT))


async def _writable(sock: int) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_writer(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(sock)
