"""Writes one object in order: parts are sent as they fill, beside the filling of the next; what does not fill one is
kept in pieces, so that any process can go on from the last state (docs/decisions: S3)."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace

from windlass.storage.contract import Buffer, State, StoreError, Writer
from windlass.storage.s3 import keys, multipart, objects
from windlass.storage.s3.bucket import Bucket
from windlass.storage.s3.finishing import complete, parts_of, remove_pieces
from windlass.storage.s3.made import Made, Piece, Tag
from windlass.storage.s3.memory import Memory
from windlass.storage.s3.multipart import COPYING
from windlass.storage.s3.options import MIB
from windlass.storage.s3.part import Part

#: Parts of one object that are on their way at the same time.
MOST_FLIGHTS = 4
#: Parts that the store copies for one object at the same time.
MOST_COPIES = 8


class S3Writer(Writer):
    """See ``contract.Writer``. After a failed request every further call fails: the last state still holds, and the
    next writer goes on from there."""

    def __init__(self, bucket: Bucket, memory: Memory, key: str, made: Made) -> None:
        self._bucket = bucket
        self._memory = memory
        self._key = key
        self._made = made
        self._part = Part(bucket, memory, key, made.tail)
        self._flights: deque[Future[Tag]] = deque()
        # While every part since the first was sent from here, nobody need ask the store for their tags.
        self._tags: list[Tag] | None = [] if made.parts == 0 else None
        # Every piece that was put for this object and not deleted since, as far as is known.
        self._pieces = {piece.token for piece in made.tail}
        self._delete(made.gone)
        self._last_state = made.state()
        self._committed: State | None = None
        self._lock = threading.Lock()
        self._broken: StoreError | None = None

    def write(self, offset: int, buffers: Sequence[Buffer]) -> int:
        with self._lock, self._breaking():
            self._must_stand_at(offset)
            data = b"".join(buffers)  # a copy: a buffer may be a small part of a large one, or one of very many
            taken = 0
            while taken < len(data):
                fits = data[taken : taken + self._made.part_size - self._part.size]
                self._take(fits)
                taken += len(fits)
            return taken

    def copy(self, offset: int, source: str, start: int, size: int) -> int:
        """Whole parts stay in the store; what lies across two of them passes through here."""
        with self._lock, self._breaking():
            self._must_stand_at(offset)
            self._prepare_to_copy()
            done = 0
            while done < size:
                done += self._copy_some(keys.checked(source), start + done, size - done)
            return done

    def sync(self, *, durable: bool = True) -> State:
        """Whatever survives this process survives the loss of its machine too."""
        with self._lock, self._breaking():
            self._land_all()
            return self._saved()

    def checkpoint(self, offset: int, *, max_lag: int = 0, durable: bool = True) -> tuple[State, int]:
        """Return the parts that were sent, as long as the rest is little and new: storing the tail would cost a request
        and wait for every part under way, and a fast client fills its part a moment later."""
        with self._lock, self._breaking():
            while self._flights and (self._flights[0].done() or self._unsaved > max_lag):
                self._land()
            if not max_lag or self._unsaved > max_lag or self._part.is_old:
                self._land_all()
                state = self._saved()
            else:
                state = self._state(self._made.tail)
            return state, self._made.offset

    def finish(self, size: int, *, durable: bool = True) -> State:
        """Send the last part from memory and complete. Return the state that was last returned before."""
        with self._lock, self._breaking():
            self._land_all()
            if self._offset != size:
                raise StoreError(f"{self._key}: {self._offset} bytes are there, {size} are to be")
            made = self._made
            first = self._tags if self._tags is not None else parts_of(self._bucket, self._key, made)
            last = [self._send(made.parts + 1, self._part)] if self._part.size or not made.parts else []
            complete(self._bucket, self._key, made, [*first, *last], size)
            if self._pieces or self._tags is None:
                remove_pieces(self._bucket, self._key)
            return self._last_state

    def committed(self, state: State) -> None:
        self._committed = state
        if self._lock.acquire(blocking=False):  # else the call that holds it, or the next one, deletes
            try:
                self._delete_superseded()
            finally:
                self._lock.release()

    def close(self) -> None:
        """Nothing of this writer reaches the store any more."""
        with self._lock:
            self._delete_superseded()
            self._broken = self._broken or StoreError(f"{self._key}: this writer was closed")
            while self._flights:
                self._flights.popleft().exception()
            self._part.forget()

    def _saved(self) -> State:
        self._part.save()
        tail = tuple(self._part.pieces)
        self._pieces |= {piece.token for piece in tail}
        return self._state(tail)

    def _state(self, tail: tuple[Piece, ...]) -> State:
        gone = self._pieces - {piece.token for piece in tail}
        self._made = replace(self._made, tail=tail, gone=tuple(sorted(gone)))
        self._last_state = self._made.state()
        return self._last_state

    @property
    def _unsaved(self) -> int:
        return self._offset - self._made.offset

    @property
    def _offset(self) -> int:
        return (self._made.parts + len(self._flights)) * self._made.part_size + self._part.size

    def _must_stand_at(self, offset: int) -> None:
        if offset != self._offset:
            raise StoreError(f"{self._key}: it stands at byte {self._offset}, and is written in order")

    @contextmanager
    def _breaking(self) -> Iterator[None]:
        """A failure is this writer's end."""
        self._delete_superseded()
        if self._broken is not None:
            raise self._broken
        try:
            yield
        except StoreError as error:
            self._broken = error
            raise

    def _delete_superseded(self) -> None:
        """Delete the pieces that neither the last committed state nor the current part needs."""
        state, self._committed = self._committed, None
        if state is None:
            return
        made = Made.of(state)
        needed = {piece.token for piece in (*(made.tail if made else ()), *self._part.pieces)}
        superseded, self._pieces = self._pieces - needed, self._pieces & needed
        self._delete(superseded)

    def _delete(self, tokens: Iterable[str]) -> None:
        """Beside everything else. What fails goes with the others when the object is whole."""
        for token in tokens:
            self._bucket.senders.submit(_delete_quietly, self._bucket, keys.tail(self._key, token))

    def _take(self, data: Buffer) -> None:
        """Into memory, for which parts under way, or else this one, make room."""
        while not (taken := self._memory.take(len(data))) and self._flights:
            self._land()
        if not taken:
            self._part.let_go()
            taken = self._memory.take(len(data))
        if taken:
            self._part.hold(data)
        else:
            self._part.store(data)
        self._pieces.update(piece.token for piece in self._part.pieces)
        if self._part.size == self._made.part_size:
            self._launch()

    def _launch(self) -> None:
        """The part is full: send it beside what follows, if it is all in memory."""
        part, self._part = self._part, Part(self._bucket, self._memory, self._key)
        number = self._made.parts + len(self._flights) + 1
        if len(self._flights) >= MOST_FLIGHTS:
            self._land()
        if part.in_memory:
            self._flights.append(self._bucket.senders.submit(self._send, number, part))
        else:
            here: Future[Tag] = Future()
            here.set_result(self._send(number, part))
            self._flights.append(here)

    def _send(self, number: int, part: Part) -> Tag:
        try:
            with part.gathered() as data:
                return multipart.send(self._bucket, self._key, self._made.upload, number, data, self._made.checksum)
        finally:
            part.forget()

    def _prepare_to_copy(self) -> None:
        """Parts that are copied have no checksum that could be told beforehand, so an upload that has begun to prove
        its parts by such is left to the sweep for one that does not."""
        if self._made.checksum != COPYING and self._made.parts == 0 and not self._flights:
            upload = multipart.begin(self._bucket, self._key, COPYING, self._made.mark)
            self._made = replace(self._made, upload=upload, checksum=COPYING)

    def _copy_some(self, source: str, start: int, size: int) -> int:
        whole = self._made.part_size
        if self._made.checksum == COPYING and not self._part.size and size >= whole:
            self._fly_copy(source, start)
            return whole
        data = objects.get(self._bucket, source, start, min(size, whole - self._part.size, MIB))
        self._take(data)
        return len(data)

    def _fly_copy(self, source: str, start: int) -> None:
        if len(self._flights) >= MOST_COPIES:
            self._land()
        number = self._made.parts + len(self._flights) + 1
        what = (self._bucket, self._key, self._made.upload, number, source, start, self._made.part_size)
        self._flights.append(self._bucket.senders.submit(multipart.copy, *what))

    def _land(self) -> None:
        tag = self._flights[0].result()
        self._flights.popleft()
        self._made = self._made.with_part(tag)
        if self._tags is not None:
            self._tags.append(tag)

    def _land_all(self) -> None:
        while self._flights:
            self._land()


def _delete_quietly(bucket: Bucket, key: str) -> None:
    with suppress(StoreError):
        objects.delete(bucket, key)
