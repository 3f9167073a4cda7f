"""Settings of embeddings that depend on each other, and the directory of a local model."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from windlass.conf.reader import BadSetting
from windlass.conf.setting_definitions import Settings

#: What the extra `search` installs, as far as it is needed.
LIBRARIES = {"local": ("numpy", "onnxruntime", "tokenizers"), "http": ("numpy",)}
#: Where each file of a local model may be, in its directory: as exporters write it.
MODEL_FILES = {"model.onnx": ("model.onnx", "onnx/model.onnx"), "tokenizer.json": ("tokenizer.json",)}

#: What makes one vector of those of the tokens. Others, such as ``max`` and ``lasttoken``, are refused.
POOLINGS = ("mean", "cls")


def check_embeddings(settings: Settings) -> None:
    """Raises BadSetting."""
    if settings.embeddings == "off":
        return
    lacking = [name for name in LIBRARIES[settings.embeddings] if importlib.util.find_spec(name) is None]
    if lacking:
        raise BadSetting(f"EMBEDDINGS={settings.embeddings} needs the extra `search`: {', '.join(lacking)} is missing")
    if settings.embeddings == "local":
        if not settings.embeddings_model:
            raise BadSetting("EMBEDDINGS=local needs EMBEDDINGS_MODEL, the directory of the model")
        local_model_directory(settings.embeddings_model)
        if settings.embeddings_previous_model:
            local_model_directory(settings.embeddings_previous_model, "EMBEDDINGS_PREVIOUS_MODEL")
    if settings.embeddings == "http" and not (settings.embeddings_url and settings.embeddings_model):
        raise BadSetting("EMBEDDINGS=http needs EMBEDDINGS_URL, and EMBEDDINGS_MODEL with the name of the model")


def local_model_directory(name: str, setting: str = "EMBEDDINGS_MODEL") -> Path:
    """The directory of a model that ``setting`` names, with all of its files, and a pooling that is known here. Raises
    BadSetting."""
    directory = _directory(name)
    if directory is None:
        raise BadSetting(f"{setting} is {name!r}: there is neither such a directory nor such a package")
    lacking = [file for file in MODEL_FILES if find_model_file(directory, file) is None]
    if lacking:
        raise BadSetting(f"{setting} is {name!r}: {directory} lacks {' and '.join(lacking)}")
    model_pooling(directory)
    return directory


def model_pooling(directory: Path) -> str:
    """How the model makes one vector of those of the tokens, one of POOLINGS: by ``1_Pooling/config.json``, as
    sentence-transformers writes it; ``mean`` without that file. Raises BadSetting."""
    path = directory / "1_Pooling" / "config.json"
    config = read_model_json(path)
    prefix, tokens = "pooling_mode_", "_tokens"
    named = [str(config["pooling_mode"])] if config.get("pooling_mode") else []
    modes = named or [
        key.removeprefix(prefix).removesuffix(tokens).removesuffix("_token")
        for key, value in config.items()
        if key.startswith(prefix) and value is True
    ]
    if not modes:
        return POOLINGS[0]
    if len(modes) > 1 or modes[0] not in POOLINGS:
        raise BadSetting(f"{path}: the pooling is {' and '.join(modes)}; a model must have {' or '.join(POOLINGS)}")
    return modes[0]


def read_model_json(path: Path) -> dict[str, Any]:
    """A file of a model that it may lack; then empty. Raises BadSetting."""
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadSetting(f"{path} cannot be read: {error}") from error
    return document if isinstance(document, dict) else {}


def find_model_file(directory: Path, name: str) -> Path | None:
    places = (directory / place for place in MODEL_FILES[name])
    return next((path for path in places if path.is_file()), None)


def _directory(name: str) -> Path | None:
    path = Path(name).expanduser()
    if path.is_dir():
        return path.absolute()
    if not name.replace("_", "a").isidentifier():
        return None
    package = importlib.util.find_spec(name)
    places = package.submodule_search_locations if package else None
    return next(map(Path, places), None) if places else None
