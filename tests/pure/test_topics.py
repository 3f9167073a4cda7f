"""Which live streams a piece of news is for."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from windlass.http.live.topics import Subscribers, Topic
from windlass.kernel.owners import EVERY_OWNER, Owners

FILE, UPLOAD = uuid.uuid4(), uuid.uuid4()


@dataclass(frozen=True)
class News:
    owner: str
    file_id: uuid.UUID | None = None
    upload_id: uuid.UUID | None = None


@dataclass(eq=False)
class Reader:
    name: str
    topic: Topic


READERS = [
    Reader("file", Topic(file_id=FILE)),
    Reader("upload", Topic(upload_id=UPLOAD)),
    Reader("ana", Topic(owners=Owners.of({"ana"}))),
    Reader("team", Topic(owners=Owners.of({"ana", "ben"}))),
    Reader("staff", Topic(owners=EVERY_OWNER)),
    Reader("all but ben", Topic(owners=EVERY_OWNER - {"ben"})),
]


def selected(subscribers: Subscribers[Reader], *news: News) -> dict[str, list[News]]:
    return {reader.name: own for reader, own in subscribers.select(news)}


def test_each_reader_has_the_news_of_its_topic_in_order() -> None:
    subscribers: Subscribers[Reader] = Subscribers()
    for reader in READERS:
        subscribers.add(reader)
    first, second, third = News("ana", FILE), News("ben", FILE, UPLOAD), News("eve")
    assert selected(subscribers, first, second, third) == {
        "file": [first, second],
        "upload": [second],
        "ana": [first],
        "team": [first, second],
        "staff": [first, second, third],
        "all but ben": [first, third],
    }


def test_a_reader_that_left_has_nothing_and_nothing_is_kept_of_it() -> None:
    subscribers: Subscribers[Reader] = Subscribers()
    for reader in READERS:
        subscribers.add(reader)
    again = Reader("ana again", READERS[2].topic)
    subscribers.add(again)
    for reader in READERS:
        subscribers.discard(reader)
        subscribers.discard(reader)
    news = News("ana", FILE, UPLOAD)
    assert selected(subscribers, news) == {"ana again": [news]}
    subscribers.discard(again)
    assert not subscribers
    assert not subscribers.topics()
    assert selected(subscribers, news) == {}
    assert not subscribers._by_owner
