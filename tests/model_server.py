"""An endpoint with OpenAI's interface for tests: it answers with vectors that a function makes of each text."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256

from tests.webhook_receiver import Answer, Receiver

SIZE = 128


def hashed_words(text: str, size: int = SIZE) -> list[float]:
    """A vector to which each word adds at a place of its own: texts with the same words are near each other."""
    vector = [0.01] * size
    for word in text.lower().split():
        vector[sha256(word.strip(".,?!").encode()).digest()[0] % size] += 1.0
    return vector


class ModelServer:
    """``statuses``: how the next calls are answered instead, one each. ``url`` is the base URL."""

    def __init__(self, receiver: Receiver, vector_of: Callable[[str], Sequence[float]]) -> None:
        self.receiver, self.vector_of = receiver, vector_of
        self.statuses: list[Answer] = []
        self.away = False
        receiver.answer = self._answer

    @property
    def url(self) -> str:
        return self.receiver.url.removesuffix("/hook") + "/v1"

    @property
    def texts(self) -> list[list[str]]:
        """The texts of each call."""
        return [each.document["input"] for each in self.receiver.received if each.path == "/v1/embeddings"]

    def _answer(self, path: str, body: bytes) -> Answer:
        if self.away:
            return Answer(503)
        if self.statuses:
            return self.statuses.pop(0)
        texts = json.loads(body)["input"]
        data = [{"index": number, "embedding": list(self.vector_of(text))} for number, text in enumerate(texts)]
        usage = {"prompt_tokens": sum(len(text.split()) for text in texts)}
        document = {"object": "list", "data": data[::-1], "usage": usage}
        return Answer(200, {"Content-Type": "application/json"}, json.dumps(document).encode())


@contextmanager
def model_server(vector_of: Callable[[str], Sequence[float]] = hashed_words, port: int = 0) -> Iterator[ModelServer]:
    with Receiver(port=port) as receiver:
        yield ModelServer(receiver, vector_of)


if __name__ == "__main__":
    with model_server(port=int(sys.argv[1])):
        signal.pause()
