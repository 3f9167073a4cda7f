"""What live streams follow, and which of them follow a piece of news."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from windlass.kernel.owners import EVERY_OWNER, Owners


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
    """What a stream follows: one file, one upload, or all of these owners."""

    owners: Owners = EVERY_OWNER
    file_id: uuid.UUID | None = None
    upload_id: uuid.UUID | None = None

    @property
    def is_one_thing(self) -> bool:
        return self.file_id is not None or self.upload_id is not None


class Subscriber(Protocol):
    topic: Topic

    def __hash__(self) -> int: ...


S = TypeVar("S", bound=Subscriber)
N = TypeVar("N", bound=News)


class Subscribers(Generic[S]):
    """A set of subscribers that finds those of a piece of news without looking at the others."""

    def __init__(self) -> None:
        self._by_topic: dict[Topic, set[S]] = {}
        #: Topics of owners, by the name of each owner, and those of all owners but some.
        self._by_owner: dict[str, set[Topic]] = defaultdict(set)
        self._of_all_others: set[Topic] = set()

    def __iter__(self) -> Iterator[S]:
        return (subscriber for group in self._by_topic.values() for subscriber in group)

    def __bool__(self) -> bool:
        return bool(self._by_topic)

    def add(self, subscriber: S) -> None:
        topic = subscriber.topic
        if topic not in self._by_topic:
            self._by_topic[topic] = set()
            self._index(topic)
        self._by_topic[topic].add(subscriber)

    def discard(self, subscriber: S) -> None:
        group = self._by_topic.get(subscriber.topic)
        if group is None:
            return
        group.discard(subscriber)
        if not group:
            del self._by_topic[subscriber.topic]
            self._remove_from_index(subscriber.topic)

    def topics(self) -> Collection[Topic]:
        return tuple(self._by_topic)

    def select(self, news: Sequence[N]) -> list[tuple[S, list[N]]]:
        """The subscribers that any of it is for, each with its own, in order."""
        selected: dict[S, list[N]] = defaultdict(list)
        for each in news:
            for topic in self._topics_of(each):
                for subscriber in self._by_topic.get(topic, ()):
                    selected[subscriber].append(each)
        return list(selected.items())

    def _topics_of(self, news: News) -> Iterator[Topic]:
        yield from self._by_owner.get(news.owner, ())
        yield from (topic for topic in self._of_all_others if news.owner in topic.owners)
        if news.file_id is not None:
            yield Topic(file_id=news.file_id)
        if news.upload_id is not None:
            yield Topic(upload_id=news.upload_id)

    def _index(self, topic: Topic) -> None:
        if topic.is_one_thing:
            return
        if topic.owners.all_others:
            self._of_all_others.add(topic)
            return
        for name in topic.owners.names:
            self._by_owner[name].add(topic)

    def _remove_from_index(self, topic: Topic) -> None:
        self._of_all_others.discard(topic)
        if topic.is_one_thing or topic.owners.all_others:
            return
        for name in topic.owners.names:
            self._by_owner[name].discard(topic)
            if not self._by_owner[name]:
                del self._by_owner[name]
