"""What the admin does with files. Processing, a layer above, sets the functions when it is loaded: they concern jobs
too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from windlass.files.models import FileAsset

FileAction = Callable[[FileAsset], object]


@dataclass(frozen=True, slots=True)
class FileActions:
    """Each takes a file and raises a ``Problem`` or ``IllegalTransition`` where it cannot be done."""

    reprocess: FileAction
    release: FileAction
    delete_or_trash: FileAction
    restore: FileAction


_actions: FileActions | None = None


def use_file_actions(actions: FileActions) -> None:
    global _actions
    _actions = actions


def file_actions() -> FileActions:
    if _actions is None:
        raise RuntimeError("files can be processed, released and deleted only where windlass.processing is loaded")
    return _actions
