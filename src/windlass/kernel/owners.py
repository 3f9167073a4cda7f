"""Sets of owners: whose uploads and files a caller may use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Owners:
    """The owners in ``names``; with ``all_others`` instead every owner who is not in ``names``.

    ``|``, ``&``, ``-`` and ``~`` work as with sets. The other operand may be a set, list or tuple of names.
    """

    names: frozenset[str] = frozenset()
    all_others: bool = False

    @classmethod
    def of(cls, value: Owners | Iterable[str]) -> Owners:
        """Raises TypeError for anything that is neither Owners nor a set, list or tuple of texts."""
        if isinstance(value, Owners):
            return value
        if not isinstance(value, set | frozenset | list | tuple) or not all(isinstance(name, str) for name in value):
            raise TypeError("must be Owners, or a set, list or tuple of the names of owners")
        return cls(frozenset(value))

    @property
    def only(self) -> str | None:
        """The owner, if it is one; else None."""
        return next(iter(self.names)) if len(self.names) == 1 and not self.all_others else None

    def __contains__(self, owner: str) -> bool:
        return (owner in self.names) is not self.all_others

    def __invert__(self) -> Owners:
        return Owners(self.names, not self.all_others)

    def __or__(self, value: Owners | Iterable[str]) -> Owners:
        other = Owners.of(value)
        if self.all_others and other.all_others:
            return Owners(self.names & other.names, all_others=True)
        if self.all_others:
            return Owners(self.names - other.names, all_others=True)
        if other.all_others:
            return Owners(other.names - self.names, all_others=True)
        return Owners(self.names | other.names)

    def __and__(self, value: Owners | Iterable[str]) -> Owners:
        return ~(~self | ~Owners.of(value))

    def __sub__(self, value: Owners | Iterable[str]) -> Owners:
        return self & ~Owners.of(value)

    __ror__ = __or__
    __rand__ = __and__


NO_OWNERS = Owners()
EVERY_OWNER = Owners(all_others=True)
