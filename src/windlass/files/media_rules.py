"""Rules of a media profile for each kind of media: types, sizes, durations, dimensions (``media_types`` tables)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class MediaRules:
    """Rules for one kind of media, in bytes, seconds and displayed pixels; None: no limit."""

    kind: str
    content_types: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    max_size: int | None = None
    min_duration: float | None = None
    max_duration: float | None = None
    min_width: int | None = None
    min_height: int | None = None
    max_width: int | None = None
    max_height: int | None = None


#: The profile ``media``: a social-video back end (http-api section 4).
BUILT_IN_PROFILE: Mapping[str, Any] = {
    "description": "Short videos and pictures.",
    "media_types": {
        "video": {
            "content_types": ["video/mp4", "video/quicktime", "video/webm"],
            "extensions": ["mp4", "mov", "webm"],
            "max_size": 500 * MB,
            "min_duration": 1.0,
            "max_duration": 180.0,
            "max_width": 4096,
            "max_height": 4096,
        },
        "image": {
            "content_types": ["image/jpeg", "image/png", "image/webp", "image/gif"],
            "extensions": ["jpg", "jpeg", "png", "webp", "gif"],
            "max_size": 20 * MB,
            "min_width": 100,
            "min_height": 100,
            "max_width": 4096,
            "max_height": 4096,
        },
    },
}


def merge_with_built_in(table: Mapping[str, Any], built_in: Mapping[str, Any]) -> dict[str, Any]:
    """The built-in profile with the rules of ``table`` in place of its own, rule by rule."""
    kinds: dict[str, Any] = {kind: dict(rules) for kind, rules in built_in["media_types"].items()}
    changed = table.get("media_types", {})
    if isinstance(changed, Mapping):
        for kind, rules in changed.items():
            kinds[kind] = kinds.get(kind, {}) | rules if isinstance(rules, Mapping) else rules
    return {**built_in, **table, "media_types": kinds}


def parse_media_rules(kinds: Any) -> tuple[MediaRules, ...]:
    """The rules of each kind. Raises ValueError for an unknown key or an invalid value."""
    if not isinstance(kinds, Mapping):
        raise ValueError("media_types must be tables, such as [media.media_types.video].")
    return tuple(_rules(kind, table) for kind, table in kinds.items())


def implied_limits(rules: Sequence[MediaRules]) -> dict[str, Any]:
    """The limits that the rules imply for the whole profile, if it has none of its own."""
    if not rules:
        return {}
    limits: dict[str, Any] = {
        "allowed_mime_types": tuple(name for each in rules for name in each.content_types),
        "allowed_extensions": tuple(name for each in rules for name in each.extensions),
    }
    sizes = [each.max_size for each in rules]
    return limits | ({"max_size": max(size for size in sizes if size)} if all(sizes) else {})


def _rules(kind: str, table: Any) -> MediaRules:
    known = {field.name for field in fields(MediaRules)} - {"kind"}
    if not isinstance(table, Mapping) or not set(table) <= known:
        raise ValueError(f"media_types.{kind} may only have the keys {', '.join(sorted(known))}.")
    for name, value in table.items():
        _check(f"media_types.{kind}.{name}", value, is_list=name in ("content_types", "extensions"))
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return MediaRules(kind, **values)


def _check(where: str, value: Any, *, is_list: bool) -> None:
    if is_list:
        valid = isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
    else:
        valid = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    if not valid:
        raise ValueError(f"{where} must be {'a list of texts' if is_list else 'a number, not below 0'}.")
