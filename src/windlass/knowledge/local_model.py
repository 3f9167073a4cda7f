"""A sentence model of this machine: ``model.onnx``, run by onnxruntime, and ``tokenizer.json``. Nothing is downloaded.

It reads text only. It has one thread, and one call at a time, so that a worker takes no more than one processor for it.
The pooling and the longest input are those of the model's own files, as sentence-transformers writes them.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from windlass.conf.embeddings import find_model_file, model_pooling, read_model_json
from windlass.conf.reader import BadSetting
from windlass.knowledge.bad_model import BadModel
from windlass.knowledge.vector_math import Vectors, normalized

#: Tokens of the longest input, where the model's files do not say.
MOST_TOKENS = 512
#: Texts that are computed together, of about the same length. More of them need more memory, and are not faster.
BATCH = 8
_HEX_DIGITS = 16


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a model is used. ``by_mean``: the vector is the mean over the tokens, else that of the first token."""

    most_tokens: int
    by_mean: bool


class LocalModel:
    """Loads the model: about 0.3 s and 150 MB for one with 22 million parameters. Raises BadModel."""

    def __init__(self, directory: Path) -> None:
        self._layout = _layout(directory)
        self._tokenizer = _tokenizer(directory, self._layout.most_tokens)
        self._session = _session(directory)
        self._inputs = {each.name for each in self._session.get_inputs()}
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One vector of length 1 for each text, in order. The end of a text that is too long is left out."""
        by_length = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        result: list[Vectors | None] = [None] * len(texts)
        for start in range(0, len(texts), BATCH):
            numbers = by_length[start : start + BATCH]
            for number, vector in zip(numbers, self._embed([texts[number] for number in numbers]), strict=True):
                result[number] = vector
        return np.array(result, dtype=np.float32)

    def _embed(self, texts: Sequence[str]) -> Vectors:
        with self._lock:
            encoded = self._tokenizer.encode_batch(list(texts))
            ids = np.array([each.ids for each in encoded], dtype=np.int64)
            mask = np.array([each.attention_mask for each in encoded], dtype=np.int64)
            given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            hidden = self._session.run(None, {name: given[name] for name in self._inputs})[0]
        return normalized(self._pooled(np.asarray(hidden, dtype=np.float32), mask))

    def _pooled(self, hidden: NDArray[np.float32], mask: NDArray[np.int64]) -> Vectors:
        if hidden.ndim == 2:  # the model pools itself
            return hidden
        if not self._layout.by_mean:
            return hidden[:, 0]
        weights = mask[:, :, np.newaxis].astype(np.float32)
        pooled: Vectors = (hidden * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-9)
        return pooled


def version_of(directory: Path) -> str:
    """The digest of the files that decide what the vectors are."""
    digests = []
    for name in ("model.onnx", "tokenizer.json"):
        path = find_model_file(directory, name)
        assert path is not None  # conf has checked it
        with path.open("rb") as file:
            digests.append(file_digest(file, "sha256").hexdigest()[:_HEX_DIGITS])
    return "-".join(digests)


def _session(directory: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it would keep the memory of the largest batch for ever
    path = find_model_file(directory, "model.onnx")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class of their own
        raise BadModel(f"{path} cannot be loaded: {error}") from error
    known = {"input_ids", "attention_mask", "token_type_ids"}
    unknown = {each.name for each in session.get_inputs()} - known
    if unknown:
        raise BadModel(f"{path} is no sentence model: it needs {', '.join(sorted(unknown))}")
    return session


def _tokenizer(directory: Path, most_tokens: int) -> Tokenizer:
    path = directory / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises Exception itself
        raise BadModel(f"{path} cannot be loaded: {error}") from error
    padding = tokenizer.padding or {}
    tokenizer.enable_padding(pad_id=padding.get("pad_id", 0), pad_token=padding.get("pad_token", "[PAD]"))
    tokenizer.enable_truncation(most_tokens)
    return tokenizer


def _layout(directory: Path) -> _Layout:
    try:
        limit = read_model_json(directory / "sentence_bert_config.json").get("max_seq_length")
        positions = read_model_json(directory / "config.json").get("max_position_embeddings")
        by_mean = model_pooling(directory) == "mean"
    except BadSetting as error:
        raise BadModel(str(error)) from error
    known = [number for number in (limit, positions) if isinstance(number, int) and number > 2]
    return _Layout(min([*known, MOST_TOKENS]), by_mean)
