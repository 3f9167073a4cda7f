"""Numbers of bytes as people read them."""

from __future__ import annotations

_UNITS = ("bytes", "KB", "MB", "GB", "TB", "PB")


def human_size(size: int | None) -> str:
    """``1.5 MB``, with units of 1024 as in the settings; empty for None."""
    if size is None:
        return ""
    value, unit = float(size), 0
    while round(value, 1) >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit else f"{size} {'byte' if size == 1 else 'bytes'}"
