"""Which parts an upload has that its client sends to the store itself, as far as it said so."""

from __future__ import annotations

from windlass.files import api as files
from windlass.kernel.errors import BadRequest, FileTooLarge
from windlass.protocols.intents import CreateDirect
from windlass.storage.contract import DirectStore, UploadedPart

#: What the tag of a part is called that lies in a finished object.
TAKEN = "taken"


def part_size(target: DirectStore, intent: CreateDirect) -> int:
    """What all parts but the last will have: as the client says, or as Uppy does it by itself. 0: it is not known."""
    if intent.size is None:
        return 0
    found = intent.part_size or max(target.min_part_size, -(-intent.size // target.max_parts))
    if found < min(intent.size, target.min_part_size) or -(-intent.size // found) > target.max_parts:
        raise BadRequest(
            f"Parts of {found} bytes are not possible: each but the last has {target.min_part_size} at least, and "
            f"there are {target.max_parts} at most.",
            field="part_size",
        )
    return found


def length(session: files.UploadSession, number: int) -> int | None:
    """Of part ``number``; None where it is not known. Raises BadRequest for a part that the upload will not have."""
    size, usual = session.size, int(session.store_state["part_size"])
    if size is None:
        return None
    total = max(1, -(-size // usual))
    if number > total:
        raise BadRequest(f"This upload has {total} parts of {usual} bytes.", field="partNumber", limit=total)
    return size - (total - 1) * usual if number == total else usual


def must_be_within(target: DirectStore, profile: files.Profile, number: int) -> None:
    """However small its parts are, the upload is not to become larger than is allowed."""
    if (number - 1) * target.min_part_size >= max(profile.max_size, 1):
        raise FileTooLarge(profile.max_size)


def taken_parts(session: files.UploadSession) -> list[UploadedPart]:
    """A client that missed the answer to its last call asks what is there: everything, so that it repeats that call."""
    size, usual = session.offset, session.store_state["part_size"] or session.offset
    starts = range(0, size, usual) if size else range(1)
    return [UploadedPart(number, TAKEN, min(usual, size - start)) for number, start in enumerate(starts, 1)]
