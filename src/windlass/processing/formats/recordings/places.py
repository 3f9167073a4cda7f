"""Places as recordings name them: ISO 6709, ``+33.8583-151.2000+058.5/``."""

from __future__ import annotations

import re

_PLACE = re.compile(
    r"([+-]\d{1,2}(?:\.\d{1,8})?)([+-]\d{1,3}(?:\.\d{1,8})?)([+-]\d{1,6}(?:\.\d{1,6})?)?(?:CRS\w+)?/?", re.ASCII
)


def iso6709(said: str) -> dict[str, float] | None:
    """Degrees, north and east positive, and metres above the sea; None for what is no place in decimal degrees."""
    found = _PLACE.fullmatch(said.strip())
    if found is None or abs(float(found[1])) > 90 or abs(float(found[2])) > 180:
        return None
    place = {"latitude": float(found[1]), "longitude": float(found[2])}
    return place | ({"altitude": float(found[3])} if found[3] else {})
