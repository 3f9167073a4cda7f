"""Vectors of passages and queries, by the model that the settings name.

A model is loaded once in each process, by its first call. Calls block: not on an event loop, and not while a database
thread is held.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from windlass import conf
from windlass.conf.embeddings import local_model_directory
from windlass.knowledge.bad_model import BadModel
from windlass.knowledge.model_endpoint import ModelEndpoint

if TYPE_CHECKING:
    from windlass.knowledge.vector_math import Vectors

#: The name of the endpoint, of its breaker and in the metrics.
ENDPOINT = "embeddings"
#: Seconds of the one attempt to make the vector of a query: somebody waits for it, and words can be searched without.
QUERY_SECONDS = 3.0
#: Characters of a query that the model gets.
LONGEST_QUERY = 4_000


class Embedder(Protocol):
    """``key`` names the model and its version: vectors with different keys cannot be compared."""

    key: str

    def passages(self, texts: Sequence[str]) -> Vectors:
        """One vector of length 1 for each text. Raises ModelAway, ModelRefused."""
        ...

    def query(self, text: str) -> Vectors:
        """One vector of length 1, in a row. Raises ModelAway, ModelRefused."""
        ...


@dataclass(frozen=True, slots=True)
class QueryVector:
    """The vector of a query, and the key of the model that made it."""

    key: str
    vector: Vectors


@dataclass(frozen=True, slots=True)
class _Prefixes:
    query: str
    passage: str


class _LocalEmbedder:
    def __init__(self, model: str, prefixes: _Prefixes) -> None:
        from windlass.knowledge.local_model import LocalModel, version_of  # its libraries are an extra

        try:
            directory = local_model_directory(model)
        except conf.BadSetting as error:  # it was there when the process started
            raise BadModel(str(error)) from error
        self.key = f"local:{directory.name}:{version_of(directory)}"[:200]
        self._prefixes, self._model = prefixes, LocalModel(directory)

    def passages(self, texts: Sequence[str]) -> Vectors:
        return self._model.embed([self._prefixes.passage + text for text in texts])

    def query(self, text: str) -> Vectors:
        return self._model.embed([self._prefixes.query + text[:LONGEST_QUERY]])


class _EndpointEmbedder:
    def __init__(self, model: str, prefixes: _Prefixes) -> None:
        self.key = f"http:{model}"[:200]
        self._model, self._prefixes = model, prefixes

    def passages(self, texts: Sequence[str]) -> Vectors:
        return self._vectors(embeddings_endpoint(), [self._prefixes.passage + text for text in texts])

    def query(self, text: str) -> Vectors:
        endpoint = embeddings_endpoint()
        quick = replace(endpoint, timeout=min(QUERY_SECONDS, endpoint.timeout), attempts=1)
        return self._vectors(quick, [self._prefixes.query + text[:LONGEST_QUERY]])

    def _vectors(self, endpoint: ModelEndpoint, texts: Sequence[str]) -> Vectors:
        import numpy as np

        from windlass.knowledge.vector_math import normalized

        return normalized(np.array(endpoint.embed(self._model, texts), dtype=np.float32))


def embeddings_endpoint() -> ModelEndpoint:
    settings = conf.get()
    return ModelEndpoint(
        ENDPOINT, settings.embeddings_url, settings.embeddings_timeout_seconds, settings.embeddings_api_key
    )


def is_on() -> bool:
    return conf.get().embeddings != "off"


def can_embed() -> bool:
    """Whether the model may answer now. Quick."""
    kind = conf.get().embeddings
    return kind == "local" or (kind == "http" and embeddings_endpoint().admits_calls())


def current_embedder() -> Embedder:
    """The one that passages are given to. Raises BadModel."""
    settings = conf.get()
    return _embedder(settings.embeddings_model)


def query_vectors(text: str) -> Sequence[QueryVector]:
    """The query as a vector of the current model, and of the previous one while that is set. Raises ModelAway,
    ModelRefused, BadModel."""
    settings = conf.get()
    names = [name for name in (settings.embeddings_model, settings.embeddings_previous_model) if name]
    embedders = [_embedder(name) for name in names]
    return [QueryVector(each.key, each.query(text)) for each in embedders]


def _embedder(model: str) -> Embedder:
    settings = conf.get()
    prefixes = _Prefixes(settings.embeddings_query_prefix, settings.embeddings_passage_prefix)
    with _loading:
        return _loaded(os.getpid(), settings.embeddings, model, prefixes)


#: Held while a model is loaded: threads that need it at the same time load it once.
_loading = threading.Lock()


@lru_cache(maxsize=2)
def _loaded(process: int, kind: str, model: str, prefixes: _Prefixes) -> Embedder:
    return _LocalEmbedder(model, prefixes) if kind == "local" else _EndpointEmbedder(model, prefixes)
