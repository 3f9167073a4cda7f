"""One WebSocket that has been accepted: send its events, and do what its client asks for.

It sends one message after the other and reads the next one from the client when the last has been answered, so that
neither side can make the other hold more than one.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from django.db import DatabaseError

from windlass.database.outage import is_outage, log_outage
from windlass.http import rate_limits
from windlass.http.callers import PRINCIPAL
from windlass.http.live.client_messages import ClientMessage, Ping, Resume, Thing, Unwatch, Watch, parse_message
from windlass.http.live.close_codes import CloseCode
from windlass.http.live.journal_follower import Subscriber, follower
from windlass.http.live.topic_access import topic_of
from windlass.http.live.topics import Topic
from windlass.http.middleware import Message, Receive, Scope, Send
from windlass.kernel.problem_types import BadRequest, Problem, TooManyLiveReaders
from windlass.resilience.rate_limits.policies import RateClass

#: Things that one WebSocket may watch.
MAX_WATCHES = 200
#: Seconds in which a client takes a message. One that does not is dropped and resumes.
SLOW_SECONDS = 10.0
#: Seconds in which the first message may say from where on; events wait for that long.
FIRST_MESSAGE_SECONDS = 0.25


class WebSocketSession:
    """``scope``: of the handshake as a request, with its caller. ``topic``: what the path names, whose events after
    number ``since`` are sent."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, topic: Topic, since: int) -> None:
        self._scope = scope
        self._receive, self._send = receive, send
        self._topic, self._since = topic, since
        self._follower = follower()
        self._wake = asyncio.Event()
        #: What the path names, until the first watch.
        self._whole: Subscriber | None = None
        self._watched: dict[Thing, Subscriber] = {}
        self._has_watched = False

    async def run(self, ended: asyncio.Event, *, awaits_first: bool) -> None:
        """Serve until either side closes, or ``ended`` is set: the credential proves its caller no more.

        ``awaits_first``: whether the first message may still say from where on.
        """
        incoming = self._next_message()
        revoked = asyncio.ensure_future(ended.wait())
        revoked.add_done_callback(lambda _: self._wake.set())
        try:
            if awaits_first:
                await asyncio.wait({incoming}, timeout=FIRST_MESSAGE_SECONDS)
            while not (ended.is_set() or self._follower.closed):
                self._wake.clear()
                if incoming.done():
                    if incoming.result()["type"] == "websocket.disconnect":
                        return
                    await self._answer(incoming.result())
                    incoming = self._next_message()
                if self._whole is None and not self._has_watched:
                    self._whole = await self._follower.subscribe(self._topic, self._since, self._wake)
                if not await self._send_news():
                    await self._wake.wait()
            await self._close(CloseCode.CREDENTIAL_ENDED if ended.is_set() else CloseCode.RESTART)
        except TimeoutError:
            await self._close(CloseCode.TOO_SLOW)
        except OSError:
            return  # the client has gone
        except DatabaseError as error:
            if not is_outage(error):
                raise
            log_outage(error)
            await self._close(CloseCode.UNAVAILABLE)
        finally:
            incoming.cancel()
            revoked.cancel()
            for subscriber in self._subscribers():
                self._follower.unsubscribe(subscriber)

    def _next_message(self) -> asyncio.Future[Message]:
        incoming = asyncio.ensure_future(self._receive())
        incoming.add_done_callback(lambda _: self._wake.set())
        return incoming

    def _subscribers(self) -> list[Subscriber]:
        return [*([self._whole] if self._whole else []), *self._watched.values()]

    async def _send_news(self) -> bool:
        """Send what each subscriber has, a page of each; return whether there may be more."""
        sent = False
        for subscriber in self._subscribers():
            for document in await subscriber.next():
                await self._send_json(document)
                sent = True
        return sent

    async def _send_json(self, document: dict[str, Any]) -> None:
        """Raises TimeoutError if the client does not take it."""
        async with asyncio.timeout(SLOW_SECONDS):
            await self._send({"type": "websocket.send", "text": json.dumps(document, separators=(",", ":"))})

    async def _close(self, code: CloseCode) -> None:
        with suppress(OSError):  # the client has gone, or the server waits for one that takes nothing
            async with asyncio.timeout(1.0):
                await self._send({"type": "websocket.close", "code": int(code), "reason": _REASONS[code]})

    async def _answer(self, message: Message) -> None:
        request: ClientMessage | None = None
        try:
            request = parse_message(message.get("text"))
            match request:
                case Resume(since):
                    self._resume(since)
                case Watch(thing, since):
                    await self._watch(thing, since)
                case Unwatch(thing):
                    await self._unwatch(thing)
                case Ping(value):
                    await self._send_json({"pong": value, **self._place()})
        except Problem as problem:
            asked = {"watch": request.thing.document()} if isinstance(request, Watch) else {}
            await self._send_json({**asked, "problem": problem.document()})

    def _place(self) -> dict[str, int]:
        """After which event a new WebSocket would go on; nothing where each watch has a place of its own."""
        if self._has_watched:
            return {}
        return {"since": self._whole.position if self._whole else self._since}

    def _resume(self, since: int) -> None:
        """Start again after event ``since``."""
        if self._has_watched:
            raise BadRequest("This WebSocket watches single things: watch, with since beside it, resumes one of them.")
        self._drop_whole()
        self._since = since

    def _drop_whole(self) -> None:
        whole, self._whole = self._whole, None
        if whole is not None:
            self._follower.unsubscribe(whole)

    async def _watch(self, thing: Thing, since: int) -> None:
        """Follow one thing, also again from another event. The first one takes the place of what the path names."""
        if thing not in self._watched and len(self._watched) >= MAX_WATCHES:
            raise TooManyLiveReaders(
                f"This WebSocket watches {MAX_WATCHES} things, which is the limit. Unwatch one, or open another.",
                limit=MAX_WATCHES,
            )
        await rate_limits.check(self._scope, RateClass.GENERAL, self._scope[PRINCIPAL])
        topic = await topic_of(thing.kind, thing.name, self._scope[PRINCIPAL])
        await self._send_json({"watching": thing.document()})
        self._stop_watching(thing)
        self._drop_whole()
        self._has_watched = True
        self._watched[thing] = await self._follower.subscribe(topic, since, self._wake)

    async def _unwatch(self, thing: Thing) -> None:
        """Also where it is not watched, so that it may be repeated."""
        self._stop_watching(thing)
        await self._send_json({"unwatched": thing.document()})

    def _stop_watching(self, thing: Thing) -> None:
        subscriber = self._watched.pop(thing, None)
        if subscriber is not None:
            self._follower.unsubscribe(subscriber)


_REASONS = {
    CloseCode.CREDENTIAL_ENDED: "the credential has ended",
    CloseCode.TOO_SLOW: "messages were not read in time; connect again and resume",
    CloseCode.RESTART: "the server stops; connect again",
    CloseCode.UNAVAILABLE: "the database does not answer; connect again later",
}
