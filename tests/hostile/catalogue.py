"""What a hostile file is, here: a name and a function that makes its bytes. Nothing binary lies in the repository.

The modules of ``tests.hostile.files`` announce their files with ``hostile`` (and ``baited``, for those that try to
reach something and are told what); ``catalogue`` has them all.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeVar


@dataclass(frozen=True)
class Bait:
    """What a file may try to reach and must not: a listener on loopback (TCP and UDP), and files of this machine."""

    port: int
    text: str
    picture: str
    playlist: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Hostile:
    """One file of the catalogue. ``about`` is what is wrong with it; ``family`` the module that makes it."""

    name: str
    family: str
    filename: str
    about: str
    make: Callable[[Bait], bytes]
    declared: str | None = None
    baited: bool = False


Maker = TypeVar("Maker", bound=Callable[..., bytes])

_announced: dict[str, Hostile] = {}


def baited(filename: str, declared: str | None = None) -> Callable[[Maker], Maker]:
    """The function makes a file out of a Bait. Its docstring says what the file tries."""

    def announce(make: Maker) -> Maker:
        _announce(make.__name__, make.__module__, filename, make.__doc__ or "", make, declared, baited=True)
        return make

    return announce


def hostile(filename: str, declared: str | None = None) -> Callable[[Maker], Maker]:
    """Likewise, of a function that takes nothing."""

    def announce(make: Maker) -> Maker:
        _announce(make.__name__, make.__module__, filename, make.__doc__ or "", lambda _: make(), declared)
        return make

    return announce


def series(family: str, filename: str, about: str, made: Mapping[str, bytes]) -> None:
    """Many small files of one thought: ``made`` by name."""
    for name, content in made.items():
        _announce(name, family, filename, about, lambda _, content=content: content)


def named(family: str, about: str, names: Mapping[str, str], content: bytes) -> None:
    """One content under many file names."""
    for name, filename in names.items():
        _announce(name, family, filename, about, lambda _: content)


@cache
def catalogue() -> Mapping[str, Hostile]:
    """Every hostile file by name."""
    package = importlib.import_module("tests.hostile.files")
    for found in _modules(list(package.__path__)):
        importlib.import_module(f"tests.hostile.files.{found}")
    return dict(sorted(_announced.items()))


def _modules(path: list[str]) -> Iterator[str]:
    return (found.name for found in pkgutil.iter_modules(path))


def _announce(
    name: str,
    module: str,
    filename: str,
    about: str,
    make: Callable[[Bait], bytes],
    declared: str | None = None,
    *,
    baited: bool = False,
) -> None:
    family = module.rpartition(".")[2]
    assert name not in _announced, f"{name} is announced twice"
    _announced[name] = Hostile(name, family, filename, about.split("\n", maxsplit=1)[0], make, declared, baited)
