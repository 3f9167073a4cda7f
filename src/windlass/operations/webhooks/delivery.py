"""Deliver the events of the journal to webhooks. Part of the scheduler process; several may run at once."""

from __future__ import annotations

import asyncio
import random
import threading
import uuid
from collections import Counter

import structlog

from windlass import conf
from windlass.accounts import api as accounts
from windlass.database.outage import is_outage, log_outage
from windlass.events import api as events
from windlass.events.api import AttemptResult, ClaimedDelivery, DeliveryState, JournalReader, Rights
from windlass.executors import in_database, in_transaction
from windlass.kernel import process_counters
from windlass.kernel.clock import monotonic
from windlass.operations.webhooks.sender import Sender
from windlass.resilience.circuit_breaker import BreakerOpen

log = structlog.get_logger(__name__)

#: Seconds between two looks at the journal and at what is due; while no webhook is enabled; after an error.
POLL_SECONDS, IDLE_SECONDS, ERROR_SECONDS = 0.5, 2.0, 5.0
#: Seconds after the end of a delivery in which others may end too, so that the next are claimed together.
LINGER_SECONDS = 0.02
#: Deliveries to one endpoint at a time, so that a slow receiver does not use up the connections of the others.
ENDPOINT_CONCURRENCY = 8
#: Seconds that running attempts have to end when the process is to stop. Those that have not are made again later.
STOP_SECONDS = 3.0

GONE = "The receiver answered 410: it wants no more events."


def run(stop: threading.Event) -> None:
    """Deliver until ``stop`` is set. The process may be killed at any moment."""
    asyncio.run(Deliverer().run(stop))


def _rights_of(owner: str) -> Rights | None:
    if not accounts.may_sign_in(owner):
        return None
    return Rights(accounts.is_staff_owner(owner), accounts.readable_by_owner(owner))


class Deliverer:
    """Makes deliveries of new events, claims those that are due, and sends each in a task of its own."""

    def __init__(self) -> None:
        self._reader = JournalReader(_rights_of)
        self._running: dict[asyncio.Task[None], uuid.UUID] = {}
        #: Endpoints whose last attempt got no answer. They have one attempt at a time, so that many cannot use up all.
        self._silent: set[uuid.UUID] = set()
        self._started = 0
        self._read_at = 0.0
        self._is_used = False

    async def run(self, stop: threading.Event) -> None:
        sender = Sender(conf.get().webhook_concurrency)
        try:
            while not stop.is_set():
                await self._wait(await self._pass_safely(sender))
            if self._running:
                await asyncio.wait(self._running, timeout=STOP_SECONDS)
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
            await sender.aclose()

    async def deliver_due(self) -> None:
        """Read the journal and send what is due until nothing is left that is due now."""
        self._read_at = 0.0
        sender = Sender(conf.get().webhook_concurrency)
        try:
            while True:
                was_idle, started = not self._running, self._started
                await self._pass(sender)
                if self._running:
                    await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                elif was_idle and self._started == started:
                    return
        finally:
            await sender.aclose()

    async def _wait(self, seconds: float) -> None:
        """Wait, but not longer than until a delivery has ended: others may wait for it."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(LINGER_SECONDS)
        else:
            await asyncio.sleep(seconds)

    async def _pass_safely(self, sender: Sender) -> float:
        try:
            return POLL_SECONDS if await self._pass(sender) else IDLE_SECONDS
        except Exception as error:  # the boundary of a thread that must go on
            if is_outage(error):
                log_outage(error)
            else:
                log.exception("webhook.failed")
            return ERROR_SECONDS

    async def _pass(self, sender: Sender) -> bool:
        """Read the journal, unless that was a moment ago, and start what is due and has room. Returns whether any
        webhook is enabled."""
        if monotonic() >= self._read_at:
            self._is_used = await in_database(self._reader.read)
            self._read_at = monotonic() + POLL_SECONDS
        free = conf.get().webhook_concurrency - len(self._running)
        if free <= 0 or not self._is_used:
            return self._is_used
        busy = Counter(self._running.values())
        due = await in_database(events.endpoints_with_due_deliveries)
        random.shuffle(due)  # none is always the first
        for endpoint_id in due:
            allowed = 1 if endpoint_id in self._silent else ENDPOINT_CONCURRENCY
            most = min(free, allowed - busy[endpoint_id])
            claims = await in_transaction(events.claim_due, endpoint_id, most) if most > 0 else []
            free -= len(claims)
            for claim in claims:
                self._start(sender, claim)
        return self._is_used

    def _start(self, sender: Sender, claim: ClaimedDelivery) -> None:
        self._started += 1
        task = asyncio.create_task(self._deliver(sender, claim))
        self._running[task] = claim.endpoint.id
        task.add_done_callback(lambda ended: self._running.pop(ended, None))

    async def _deliver(self, sender: Sender, claim: ClaimedDelivery) -> None:
        """Make one attempt and record it. What cannot be recorded is sent again after the lease, with the same id."""
        bound = {"delivery": str(claim.id), "webhook": str(claim.endpoint.id), "event_type": claim.event_type}
        bound |= {"request_id": claim.request_id} if claim.request_id else {}
        with structlog.contextvars.bound_contextvars(**bound):
            try:
                is_answered = await _attempt(sender, claim)
            except Exception as error:  # the boundary of a task: the others go on
                if is_outage(error):
                    log_outage(error)
                else:
                    log.exception("webhook.not_recorded")
                return
        (self._silent.discard if is_answered else self._silent.add)(claim.endpoint.id)


async def _attempt(sender: Sender, claim: ClaimedDelivery) -> bool:
    """Returns whether the receiver answered."""
    began = monotonic()
    try:
        result = await sender.send(claim)
    except BreakerOpen as refused:
        process_counters.webhook_seconds.observe(monotonic() - began, "postponed")
        await in_transaction(events.postpone, claim, max(refused.retry_after, 1.0))
        return False
    state = await in_transaction(events.record_attempt, claim, result)
    process_counters.webhook_seconds.observe(result.seconds, _outcome(result, state))
    figures = {"attempt": claim.attempts + 1, "status": result.status, "seconds": round(result.seconds, 3)}
    if result.is_gone and await in_transaction(events.disable_endpoint, claim.endpoint.id, GONE):
        log.warning("webhook.disabled", reason=GONE)
    elif state == DeliveryState.DEAD:
        log.error("webhook.dead", error=result.error, **figures)
    elif result.is_delivered:
        log.debug("webhook.delivered", **figures)
    else:
        log.info("webhook.retry", error=result.error, **figures)
    return result.status is not None


def _outcome(result: AttemptResult, state: DeliveryState | None) -> str:
    if result.is_delivered:
        return "delivered"
    return "dead" if state == DeliveryState.DEAD or result.is_gone else "retried"
