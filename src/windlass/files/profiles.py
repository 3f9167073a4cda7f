"""Upload profiles: what is accepted and how it is processed, as data. ``windlass profiles`` prints them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from windlass import conf
from windlass.conf import MB
from windlass.kernel.problem_types import InvalidField

#: Limits on the content of files; 0: no limit.
CONTENT_LIMITS = (
    "min_width",
    "min_height",
    "max_width",
    "max_height",
    "max_pixels",
    "min_duration",
    "max_duration",
    "max_pages",
)
#: Most pixels of an image, unless the profile says otherwise: more than a large scan (A0 at 600 dpi has 558 million),
#: and less than what fills the memory of whoever decodes it (four bytes each).
DEFAULT_MAX_PIXELS = 600_000_000
#: Most entries of an archive that are read.
MAX_ARCHIVE_ENTRIES = 100_000
LEAST_BYTES_PER_SECOND = 64 * 1024
ARCHIVE_LIMITS = ("max_archive_entries", "max_unpacked_size", "max_archive_ratio")
#: Most thumbnails of one file.
MAX_WIDTHS = 10
#: Most pages of a PDF of which pictures are made.
MAX_PREVIEW_PAGES = 200


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


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of upload. Sizes are bytes; types may have a wildcard subtype (``image/*``); empty lists allow all.

    ``media_types``: rules for kinds of media; a profile that has them accepts no other kinds. Limits on the content are
    displayed pixels, seconds, pages, entries and bytes; 0: no limit. DEFAULT_MAX_PIXELS is a limit of images that tell
    their size; another ``max_pixels`` is one of all images and videos. ``unsafe_names``: whether archives are accepted
    that have entries which could be unpacked outside their directory. ``unmeasured``: what happens to a file of which
    it cannot be determined whether it obeys them.

    ``store``: the name of the store for the files' bytes; never empty in a loaded profile.

    ``graph`` is false in a loaded profile where the setting GRAPH is off.

    ``retention_days`` after its creation a file is deleted, and ``release_after_days`` after it the file's bytes. The
    record of a released file is deleted ``delete_released_after_days`` after its release. 0: never. A deleted file can
    be restored for ``trash_hours``; 0: not at all.
    """

    name: str
    description: str = ""
    store: str = ""
    min_size: int = 0
    max_size: int = 0
    allowed_mime_types: tuple[str, ...] = ()
    blocked_mime_types: tuple[str, ...] = ()
    allowed_extensions: tuple[str, ...] = ()
    check_mismatch: bool = True
    upload_ttl_hours: float = 0
    max_bytes_per_second: int = 0
    retention_days: float = 0
    release_after_days: float = 0
    delete_released_after_days: float = 0
    trash_hours: float = 0
    thumbnails: bool = True
    thumbnail_widths: tuple[int, ...] = (640,)
    thumbnail_format: Literal["webp", "jpeg"] = "webp"
    waveforms: bool = True
    video_preview: bool = False
    audio_preview: bool = False
    preview_height: int = 720
    preview_pages: int = 50
    text: bool = True
    ocr: bool = False
    search: bool = True
    graph: bool = True
    malware_scan: Literal["auto", "required", "optional", "off"] = "auto"
    media_types: tuple[MediaRules, ...] = ()
    show_location: bool = False
    min_width: int = 0
    min_height: int = 0
    max_width: int = 0
    max_height: int = 0
    max_pixels: int = DEFAULT_MAX_PIXELS
    min_duration: float = 0
    max_duration: float = 0
    max_pages: int = 0
    encrypted: bool = True
    unmeasured: Literal["refuse", "accept"] = "refuse"
    max_archive_entries: int = MAX_ARCHIVE_ENTRIES
    max_unpacked_size: int = 50 * 1024 * MB
    max_archive_ratio: float = 100
    unsafe_names: bool = False

    @property
    def content_rules(self) -> bool:
        """Whether there are limits on the content of files other than archives, besides the default one of pixels."""
        limits = {name: getattr(self, name) for name in CONTENT_LIMITS}
        if self.max_pixels == DEFAULT_MAX_PIXELS:
            del limits["max_pixels"]
        return not self.encrypted or any(limits.values())

    @property
    def pixel_rules(self) -> bool:
        """Whether the default limit of pixels is the only limit on the content of images."""
        return self.max_pixels == DEFAULT_MAX_PIXELS and not self.content_rules

    @property
    def archive_rules(self) -> bool:
        return not self.unsafe_names or any(getattr(self, name) for name in ARCHIVE_LIMITS)

    @property
    def pixels_required(self) -> bool:
        """Whether ``max_pixels`` refuses images and videos whose size cannot be read. A limit that nobody asked for
        does not: most of them are of types that are not decoded here."""
        return self.max_pixels != DEFAULT_MAX_PIXELS

    def document(self) -> dict[str, Any]:
        """The profile as JSON, with the switches of steps that its limits imply; ``malware_scan`` is false if off.

        Without the store, which neither clients nor steps may know. Without thumbnails there are no pictures of pages.
        """
        switches: dict[str, Any] = {
            name: getattr(self, name) for name in ("content_rules", "pixel_rules", "pixels_required", "archive_rules")
        }
        switches |= {"malware_scan": self.malware_scan != "off" and self.malware_scan}
        switches |= {"preview_pages": self.preview_pages if self.thumbnails else 0}
        return {name: value for name, value in asdict(self).items() if name != "store"} | switches


def profiles() -> Mapping[str, Profile]:
    """Every profile by name, with the settings' limits as defaults."""
    return load_profiles(conf.get())


def profile(name: str) -> Profile:
    """The profile of this name. Raises InvalidField for an unknown name."""
    named = profiles().get(name)
    if named is None:
        known = ", ".join(sorted(profiles()))
        raise InvalidField(f"There is no profile {name!r}. Profiles here: {known}.", field="profile")
    return named


@lru_cache(maxsize=4)
def load_profiles(settings: conf.Settings) -> Mapping[str, Profile]:
    """Every profile by name, with these settings. Raises BadSetting."""
    tables: dict[str, Any] = {}
    if settings.windlass_profiles:
        try:
            tables = tomllib.loads(settings.windlass_profiles.read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise conf.BadSetting(f"WINDLASS_PROFILES {settings.windlass_profiles}: {error}") from error
    tables.setdefault("default", {"description": "Any file."})
    tables["media"] = merge_with_built_in(tables.get("media", {}), BUILT_IN_MEDIA_PROFILE)
    return {name: _profile(name, table, settings) for name, table in tables.items()}


def _profile(name: str, table: dict[str, Any], settings: conf.Settings) -> Profile:
    unknown = set(table) - {field.name for field in fields(Profile)} | ({"name"} & set(table))
    if unknown:
        raise conf.BadSetting(f"Profile {name!r} has an unknown key {sorted(unknown)[0]!r}.")
    _check_values(name, table)
    lists = {key: tuple(value) for key, value in table.items() if isinstance(value, list)}
    try:
        rules = parse_media_rules(table.get("media_types", {}))
    except ValueError as error:
        raise conf.BadSetting(f"Profile {name!r}: {error}") from error
    implied = implied_limits(rules)
    defaults: dict[str, Any] = {
        "max_size": implied.get("max_size", settings.upload_limit),
        "allowed_mime_types": settings.allowed_mime_types or implied.get("allowed_mime_types", ()),
        "blocked_mime_types": settings.blocked_mime_types,
        "allowed_extensions": settings.allowed_extensions or implied.get("allowed_extensions", ()),
        "upload_ttl_hours": settings.upload_ttl_hours,
        "trash_hours": settings.trash_hours,
    }
    table = table | {"malware_scan": _malware_scan(name, table.get("malware_scan", "auto"), settings)}
    table = table | {"graph": settings.graph != "off" and table.get("graph", True)}
    table = table | {"store": _store(name, table.get("store", ""), settings)}
    profile = Profile(**(defaults | table | lists | {"name": name, "media_types": rules}))
    _check_sizes(profile)
    _check_rate(profile)
    return profile


def _check_sizes(profile: Profile) -> None:
    """Check the sizes of thumbnails and previews. Raises BadSetting."""
    widths = profile.thumbnail_widths
    if not widths or len(widths) > MAX_WIDTHS or len(set(widths)) < len(widths):
        raise conf.BadSetting(f"Profile {profile.name!r}: thumbnail_widths has 1 to {MAX_WIDTHS} widths, each once.")
    if not all(16 <= width <= 4096 for width in widths):
        raise conf.BadSetting(f"Profile {profile.name!r}: thumbnail_widths are 16 to 4096 pixels each.")
    if not 144 <= profile.preview_height <= 2160:
        raise conf.BadSetting(f"Profile {profile.name!r}: preview_height is 144 to 2160 pixels.")
    if profile.preview_pages > MAX_PREVIEW_PAGES:
        raise conf.BadSetting(f"Profile {profile.name!r}: preview_pages is {MAX_PREVIEW_PAGES} at most.")


def _check_rate(profile: Profile) -> None:
    """Refuse a rate at which a client that waits would look like one that is gone. Raises BadSetting."""
    if 0 < profile.max_bytes_per_second < LEAST_BYTES_PER_SECOND:
        raise conf.BadSetting(
            f"Profile {profile.name!r}: max_bytes_per_second is 0 or at least {LEAST_BYTES_PER_SECOND}, not "
            f"{profile.max_bytes_per_second}."
        )


def _check_values(name: str, table: Mapping[str, Any]) -> None:
    """Check types and ranges of all keys but ``media_types``. Raises BadSetting."""
    hints = get_type_hints(Profile)
    for key, value in table.items():
        expected = _expected(hints[key], value) if key != "media_types" else None
        if expected is not None:
            raise conf.BadSetting(f"Profile {name!r}: {key} must be {expected}, not {value!r}.")
    if table.get("max_archive_entries", 0) > MAX_ARCHIVE_ENTRIES:
        raise conf.BadSetting(
            f"Profile {name!r}: max_archive_entries may be {MAX_ARCHIVE_ENTRIES} at most, as more are not read; "
            "0 sets no limit."
        )


def _expected(hint: Any, value: Any) -> str | None:
    """What the value of a key must be; None for a valid value."""
    if get_origin(hint) is Literal:
        return None if value in get_args(hint) else " or ".join(map(repr, get_args(hint)))
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        valid = isinstance(value, list) and all(_expected(item, each) is None for each in value)
        return None if valid else f"a list of {'texts' if item is str else 'whole numbers'}"
    if hint is bool:
        return None if isinstance(value, bool) else "true or false"
    if hint is str:
        return None if isinstance(value, str) else "a text"
    types, name = (int, "a whole number") if hint is int else (int | float, "a number")
    valid = isinstance(value, types) and not isinstance(value, bool) and value >= 0
    return None if valid else f"{name}, not below 0"


def _malware_scan(name: str, requested: str, settings: conf.Settings) -> str:
    """``malware_scan`` with ``auto`` resolved.

    Raises BadSetting for a scan without a scanner: the files would wait for ever.
    """
    if requested == "auto":
        return "required" if settings.scanner_name else "off"
    if requested != "off" and not settings.scanner_name:
        raise conf.BadSetting(f"Profile {name!r}: malware_scan is {requested}, and no scanner is set: set CLAMAV_URL.")
    return requested


def _store(name: str, requested: str, settings: conf.Settings) -> str:
    """The name of the profile's store. Raises BadSetting for an unknown one."""
    if not requested:
        return conf.default_store(settings)
    if conf.store_settings(settings, requested) is None:
        known = ", ".join(conf.known_stores(settings))
        raise conf.BadSetting(f"Profile {name!r}: there is no store {requested!r}. Stores here: {known}.")
    return requested


#: The profile ``media``: a social-video back end (http-api section 4).
BUILT_IN_MEDIA_PROFILE: Mapping[str, Any] = {
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
    return tuple(_media_rules(kind, table) for kind, table in kinds.items())


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


def _media_rules(kind: str, table: Any) -> MediaRules:
    known = {field.name for field in fields(MediaRules)} - {"kind"}
    if not isinstance(table, Mapping) or not set(table) <= known:
        raise ValueError(f"media_types.{kind} may only have the keys {', '.join(sorted(known))}.")
    for name, value in table.items():
        _check_media_rule(f"media_types.{kind}.{name}", value, is_list=name in ("content_types", "extensions"))
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return MediaRules(kind, **values)


def _check_media_rule(where: str, value: Any, *, is_list: bool) -> None:
    if is_list:
        valid = isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
    else:
        valid = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    if not valid:
        raise ValueError(f"{where} must be {'a list of texts' if is_list else 'a number, not below 0'}.")
