"""What the setting DURABILITY asks for (docs/decisions/0002-checkpoints-and-durability.md)."""

from __future__ import annotations

from windlass import conf


def syncs_acknowledgements() -> bool:
    """Whether bytes are synced before each acknowledgement (setting DURABILITY)."""
    return conf.get().durability == "strict"


def syncs_complete_files() -> bool:
    """Whether a file is synced when it is complete (setting DURABILITY)."""
    return conf.get().durability != "os"
