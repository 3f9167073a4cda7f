"""The storage that the settings name: an alias of Django's STORAGES, or a class by its dotted path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.files.storage import FileSystemStorage, InMemoryStorage, Storage, storages
from django.core.files.storage.handler import InvalidStorageError

from windlass.storage.contract import StoreError

_MEMORY_OPTION = "max_memory_size"  # of several of django-storages
#: Above this a storage that reads whole objects keeps them in a temporary file. Its own default is often: never.
_MEMORY = 1024 * 1024


@dataclass(frozen=True)
class Named:
    """Picklable, so that another process can open the same storage."""

    name: str
    """Without a dot it is an alias."""
    options: Mapping[str, Any] = field(default_factory=dict)

    def open(self) -> Storage:
        """A storage, made anew but where any number of threads may share one. Raises StoreError that says why not."""
        definition = {"BACKEND": self.name, "OPTIONS": self.options} if "." in self.name else self._of_alias()
        try:
            made = storages.create_storage(definition)
        except InvalidStorageError as error:
            raise StoreError(f"DJANGO_STORAGE is {self.name!r}: {error}") from error
        except Exception as error:  # whatever its class raises when it is made, an operator must read
            raise StoreError(f"DJANGO_STORAGE is {self.name!r}, which cannot be opened: {_text(error)}") from error
        if not isinstance(made, Storage):
            raise StoreError(f"DJANGO_STORAGE is {self.name!r}, which is no storage of Django's")
        return self._shared(made)

    def _of_alias(self) -> dict[str, Any]:
        defined: Any = storages.backends
        found: dict[str, Any] | None = defined.get(self.name)
        if found is None:
            raise StoreError(
                f"DJANGO_STORAGE is {self.name!r}, and STORAGES in the Django settings has no such alias. "
                "A class is named by its dotted path."
            )
        if self.options:
            raise StoreError("DJANGO_STORAGE_OPTIONS is for a class. The options of an alias stand in STORAGES.")
        return found

    def _shared(self, made: Storage) -> Storage:
        if "." not in self.name and shares(made):
            return storages[self.name]
        if getattr(made, _MEMORY_OPTION, None) == 0:
            setattr(made, _MEMORY_OPTION, _MEMORY)
        return made


def shares(storage: Storage) -> bool:
    """Whether threads can use one instance. Most storages hold a connection that they cannot."""
    return isinstance(storage, FileSystemStorage | InMemoryStorage)


def _text(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
