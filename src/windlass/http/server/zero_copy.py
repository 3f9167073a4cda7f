"""Sends a file's bytes to a socket without bringing them into this process (sendfile(2)), for ASGI's extension
"zero copy send". The disk is waited for in threads, a slow client on the loop."""

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

#: Bytes that one visit to a thread sends at most; then other requests have their turn.
MOST_AT_ONCE = 8 * 1024 * 1024
#: How long a thread waits for a client that keeps up, rather than going back to the loop: milliseconds.
PATIENCE = 5
#: Seconds between two looks at whether a slow client has taken what was written before.
FLUSH_EVERY = 0.01


class Message(TypedDict):
    """``file`` is a descriptor of a regular file; it stays the sender's."""

    type: str
    file: int
    offset: int
    count: int


@dataclass(slots=True)
class Progress:
    """Of all files that a connection sends. ``waits``: for its client, and for nothing else."""

    sent: int = 0
    waits: bool = False


def possible(transport: asyncio.Transport) -> bool:
    """Whether what is written to the socket is what the client gets: not under TLS."""
    return sys.platform == "linux" and transport.get_extra_info("sslcontext") is None


def not_acknowledged(transport: asyncio.Transport) -> int:
    """Bytes that the kernel holds for a client that has not taken them yet; 0 where the system does not say."""
    if sys.platform != "linux":
        return 0
    with contextlib.suppress(OSError):
        sock = transport.get_extra_info("socket")
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    return 0


async def send(transport: asyncio.Transport, message: Message, progress: Progress) -> None:
    """Everything the message names, behind what was written before. Raises EOFError where the file ends before, OSError
    where the client is gone."""
    await _flushed(transport)
    if transport.is_closing():
        raise ConnectionResetError("the client is gone")
    # A number of its own: the loop allows nobody to watch a descriptor that is its transport's.
    sock = os.dup(transport.get_extra_info("socket").fileno())
    try:
        await _send(sock, message["file"], message["offset"], message["count"], progress)
    finally:
        os.close(sock)


async def _flushed(transport: asyncio.WriteTransport) -> None:
    """Whatever was written before, the reply's head at least, is with the kernel."""
    turns = 0
    while transport.get_write_buffer_size() and not transport.is_closing():
        # The loop writes at the end of a turn; more than a few turns mean that the client does not take it.
        await asyncio.sleep(0 if turns < 3 else FLUSH_EVERY)
        turns += 1


async def _send(sock: int, file: int, offset: int, count: int, progress: Progress) -> None:
    end = offset + count
    while offset < end:
        sent = await _in_thread_to_its_end(sock, file, offset, min(end - offset, MOST_AT_ONCE))
        offset += sent
        progress.sent += sent
        if not sent:
            progress.waits = True
            try:
                await _writable(sock)
            finally:
                progress.waits = False


async def _in_thread_to_its_end(sock: int, file: int, offset: int, count: int) -> int:
    """Cancelled, it waits for the thread all the same: until then the descriptors must stay whose they are."""
    going = asyncio.ensure_future(in_thread(_send_some, sock, file, offset, count))
    try:
        return await asyncio.shield(going)
    except asyncio.CancelledError:
        await asyncio.wait([going])
        raise


def _send_some(sock: int, file: int, offset: int, count: int) -> int:
    """As much as the client takes without being waited for; 0 where it takes nothing now."""
    done = 0
    while done < count:
        try:
            sent = os.sendfile(sock, file, offset + done, count - done)
        except BlockingIOError:
            if not done or not _keeps_up(sock):
                break
            continue
        if not sent:
            raise EOFError("the file is shorter than was said")
        done += sent
    return done


def _keeps_up(sock: int) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    return bool(poll.poll(PATIENCE))


async def _writable(sock: int) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_writer(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(sock)
