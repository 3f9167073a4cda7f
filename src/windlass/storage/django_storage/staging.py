"""Where objects lie while they are made: files below a directory of this machine, or of one that several share."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from windlass.storage.contract import State, StoreUnavailable
from windlass.storage.local import LocalStore

#: Names the directory, in a file that no key could name; written in each state.
_MARK = "STAGING"
_PLACE = "staged_at"


class Staging(LocalStore):
    """A local store that knows its objects from another's."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._mark = _mark_of(root)

    def marked(self, state: State) -> State:
        return state | {_PLACE: self._mark}

    def must_be_here(self, key: str, state: State) -> None:
        """Raises StoreUnavailable where the object was begun in another directory."""
        if state.get(_PLACE, self._mark) != self._mark:
            raise StoreUnavailable(
                f"{key}: it is staged on another machine. Web processes that take turns at one upload need a "
                "DJANGO_STORAGE_STAGING that they share."
            )


def _mark_of(root: Path) -> str:
    """Made by whoever is first."""
    path, made = root / _MARK, secrets.token_hex(8)
    temporary = root / f"{_MARK}-{made}"
    try:
        if not path.exists():
            temporary.write_text(made)
            with suppress(FileExistsError):
                os.link(temporary, path)
        return path.read_text()
    except OSError as error:
        raise StoreUnavailable(f"The staging directory cannot be used: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
