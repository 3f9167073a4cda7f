"""A real sentence model of this machine: what its vectors are, and that nothing else is needed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from windlass.conf.embeddings import local_model_directory, model_pooling
from windlass.conf.reader import BadSetting
from windlass.knowledge.bad_model import BadModel
from windlass.knowledge.local_model import LocalModel, version_of

#: The cosines that sentence-transformers gives for this model.
SENTENCES = ("A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby.")
COSINES = [[1.0, 0.7553, -0.1050], [0.7553, 1.0, -0.0610], [-0.1050, -0.0610, 1.0]]


@pytest.fixture(scope="module")
def model(sentence_model: Path) -> LocalModel:
    return LocalModel(sentence_model)


def test_the_vectors_are_those_of_sentence_transformers(model: LocalModel) -> None:
    vectors = model.embed(SENTENCES)
    assert vectors.shape == (3, 384)
    assert np.allclose(vectors @ vectors.T, COSINES, atol=2e-3)


def test_a_vector_does_not_depend_on_the_texts_beside_it(model: LocalModel) -> None:
    texts = ["", "short", "a long text " * 400, *SENTENCES, "🙂 \u0301", "x" * 5000]
    together, alone = model.embed(texts), np.vstack([model.embed([text]) for text in texts])
    assert np.allclose(together, alone, atol=1e-4)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-4)


def test_files_that_are_no_model_are_refused(sentence_model: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(BadModel, match=r"tokenizer\.json cannot be loaded"):
        LocalModel(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes((sentence_model / "tokenizer.json").read_bytes())
    with pytest.raises(BadModel, match=r"model\.onnx cannot be loaded"):
        LocalModel(tmp_path)


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({}, "mean"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_mean_tokens": True, "word_embedding_dimension": 8}, "mean"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": "lasttoken"}, None),
        ({"pooling_mode_max_tokens": True}, None),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, None),
    ],
)
def test_the_pooling_of_a_model_is_known_or_refused(
    config: dict[str, object], pooling: str | None, tmp_path: Path
) -> None:
    """A model with another pooling was silently used with the mean, which is not what it was trained for."""
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(config))
    if pooling:
        assert model_pooling(tmp_path) == pooling
        return
    for name in ("model.onnx", "tokenizer.json"):
        (tmp_path / name).touch()
    with pytest.raises(BadSetting, match="a model must have mean or cls"):
        local_model_directory(str(tmp_path))


def test_the_version_is_that_of_the_files(sentence_model: Path, tmp_path: Path) -> None:
    for name in ("model.onnx", "tokenizer.json"):
        (tmp_path / name).write_bytes(b"1")
    first = version_of(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"2")
    assert first != version_of(tmp_path) != version_of(sentence_model)
