"""Whether the bucket lets pages of other origins in: its CORS rules, as far as we may read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from windlass.storage.contract import ObjectMissing, StoreError
from windlass.storage.s3.bucket import Bucket
from windlass.storage.s3.errors import Refused


def missing(bucket: Bucket, origins: Sequence[str], methods: Sequence[str]) -> str:
    """What pages of these origins lack to send straight to the bucket; empty where nothing does."""
    try:
        with bucket.call("") as s3:
            rules: Sequence[Mapping[str, Any]] = s3.get_bucket_cors(Bucket=bucket.name)["CORSRules"]
    except (Refused, ObjectMissing):
        rules = []
    except StoreError as error:
        return f"whether pages may send straight to the bucket is not known: {error}"
    lacks = [f"{origin} ({', '.join(found)})" for origin in origins if (found := list(_lacks(rules, origin, methods)))]
    return f"the bucket's CORS rules do not let pages send straight to it: {'; '.join(lacks)}" if lacks else ""


def _lacks(rules: Sequence[Mapping[str, Any]], origin: str, methods: Sequence[str]) -> Iterator[str]:
    """A browser is answered by the first rule that admits its origin and method."""
    for method in methods:
        rule = next((each for each in rules if _admits(each, origin, method)), None)
        if rule is None:
            yield f"no {method}"
        elif "etag" not in {name.lower() for name in rule.get("ExposeHeaders", [])} and method == "PUT":
            yield "ETag is not exposed"


def _admits(rule: Mapping[str, Any], origin: str, method: str) -> bool:
    return method in rule.get("AllowedMethods", []) and any(
        fnmatchcase(origin, pattern) for pattern in rule.get("AllowedOrigins", [])
    )
