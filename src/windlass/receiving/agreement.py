"""Whether what lies at the store is what its client says it sent there."""

from __future__ import annotations

from collections.abc import Sequence

from windlass.files import api as files
from windlass.kernel.errors import Conflict
from windlass.protocols.intents import NamedPart
from windlass.storage.contract import UploadedPart


def must_agree(there: Sequence[UploadedPart], named: Sequence[NamedPart], least: int) -> None:
    """The store has the parts that the client names and no others, all of one size but the last. Raises Conflict."""
    at_store, said = {part.number: part.tag for part in there}, {part.number: part.tag for part in named}
    _refuse("The store lacks the parts", sorted(said.keys() - at_store.keys()))
    _refuse("The store has more than the parts that are named:", sorted(at_store.keys() - said.keys()))
    _refuse("The store has others in the place of the parts", [n for n in sorted(said) if said[n] != at_store[n]])
    *others, last = there
    size = others[0].size if others else last.size
    unequal = [part.number for part in there if part.size != size and (part is not last or part.size > size)]
    _refuse(f"All parts but the last must have the size of the first, {size} bytes; others have the parts", unequal)
    too_small = [part.number for part in others if part.size < least]
    _refuse(f"All parts but the last must have {least} bytes at least; fewer have the parts", too_small)


def _refuse(what: str, numbers: Sequence[int]) -> None:
    if numbers:
        more = ", …" if len(numbers) > 10 else ""
        raise Conflict(f"{what} {', '.join(map(str, numbers[:10]))}{more}.", parts=list(numbers[:1000]))


def must_be_announced(session: files.UploadSession, size: int) -> None:
    if session.size is not None and session.size != size:
        raise Conflict(
            f"The store has {size} bytes of this upload; {session.size} were announced.",
            limit=session.size,
            received=size,
        )
