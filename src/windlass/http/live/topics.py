"""What live streams follow, and which of them follow a piece of news."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class News(Protocol):
    """An event, or progress."""

    @property
    def owner(self) -> str: ...
    @property
    def file_id(self) -> uuid.UUID | None: ...
    @property
    def upload_id(self) -> uuid.UUID | None: ...


@dataclass(frozen=True, slots=True)
class Topic:
    """What a stream follows: one file, one upload, or all of an owner (all three None: of everybody, for staff)."""

    owner: str | None = None
    file_id: uuid.UUID | None = None
    upload_id: uuid.UUID | None = None


class Subscriber(Protocol):
    topic: Topic

    def __hash__(self) -> int: ...


S = TypeVar("S", bound=Subscriber)
N = TypeVar("N", bound=News)


class Subscribers(Generic[S]):
    """A set of subscribers that finds those of a piece of news without looking at the others."""

    def __init__(self) -> None:
        self._by_topic: dict[Topic, set[S]] = defaultdict(set)

    def __iter__(self) -> Iterator[S]:
        return (subscriber for group in self._by_topic.values() for subscriber in group)

    def __bool__(self) -> bool:
        return bool(self._by_topic)

    def add(self, subscriber: S) -> None:
        self._by_topic[subscriber.topic].add(subscriber)

    def discard(self, subscriber: S) -> None:
        group = self._by_topic.get(subscriber.topic, set())
        group.discard(subscriber)
        if not group:
            self._by_topic.pop(subscriber.topic, None)

    def topics(self) -> Collection[Topic]:
        return tuple(self._by_topic)

    def select(self, news: Sequence[N]) -> list[tuple[S, list[N]]]:
        """The subscribers that any of it is for, each with its own, in order."""
        selected: dict[S, list[N]] = defaultdict(list)
        for each in news:
            for topic in _topics_of(each):
                for subscriber in self._by_topic.get(topic, ()):
                    selected[subscriber].append(each)
        return list(selected.items())


def _topics_of(news: News) -> Iterator[Topic]:
    yield Topic()
    yield Topic(owner=news.owner)
    if news.file_id is not None:
        yield Topic(file_id=news.file_id)
    if news.upload_id is not None:
        yield Topic(upload_id=news.upload_id)
