"""Settings of embeddings that depend on each other, and the directory of a local model."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from windlass.conf.reader import BadSetting
from windlass.conf.setting_definitions import Settings

#: What the extra `search` installs, as far as it is needed.
LIBRARIES = {"local": ("numpy", "onnxruntime", "tokenizers"), "http": ("numpy",)}
#: Where each file of a local model may be, in its directory: as exporters write it.
MODEL_FILES = {"model.onnx": ("model.onnx", "onnx/model.onnx"), "tokenizer.json": ("tokenizer.json",)}


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
    """The directory of a model that ``setting`` names, with all of its files. Raises BadSetting."""
    directory = _directory(name)
    if directory is None:
        raise BadSetting(f"{setting} is {name!r}: there is neither such a directory nor such a package")
    lacking = [file for file in MODEL_FILES if find_model_file(directory, file) is None]
    if lacking:
        raise BadSetting(f"{setting} is {name!r}: {directory} lacks {' and '.join(lacking)}")
    return directory


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
