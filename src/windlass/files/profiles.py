"""Profiles: what may come in and what is done with it, as data. ``windlass profiles`` prints them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from windlass import conf
from windlass.files.media_rules import BUILT_IN, MB, MediaRules, completed, derived, read
from windlass.kernel.errors import InvalidField

#: Limits on what is in a file; 0 sets none.
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
#: An archive's entries are looked at no further.
MOST_ARCHIVE_ENTRIES = 100_000
ARCHIVE_LIMITS = ("max_archive_entries", "max_unpacked_size", "max_archive_ratio")
#: Thumbnails of one file, at most.
MOST_WIDTHS = 10


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of upload. Sizes are bytes; types may have a wildcard subtype (``image/*``); empty lists allow all.

    ``media_types``: what each kind of media must be like; with them a profile takes nothing else. Limits on the content
    are pixels as displayed, seconds, pages, entries and bytes; 0 sets none. ``unmeasured``: what becomes of a file of
    which nobody can tell whether it keeps to them.

    ``store``: where its files' bytes go; once read from the settings it is never empty.

    A file is deleted ``retention_days`` after its record began, and its bytes ``release_after_days``; whoever
    released them, the record goes ``delete_released_after_days`` later. 0 is never. Who deletes one can
    restore it for ``trash_hours``; 0 is not at all.
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
    text: bool = True
    ocr: bool = False
    malware_scan: Literal["auto", "required", "optional", "off"] = "auto"
    media_types: tuple[MediaRules, ...] = ()
    show_location: bool = False
    min_width: int = 0
    min_height: int = 0
    max_width: int = 0
    max_height: int = 0
    max_pixels: int = 0
    min_duration: float = 0
    max_duration: float = 0
    max_pages: int = 0
    encrypted: bool = True
    unmeasured: Literal["refuse", "accept"] = "refuse"
    max_archive_entries: int = MOST_ARCHIVE_ENTRIES
    max_unpacked_size: int = 50 * 1024 * MB
    max_archive_ratio: float = 100

    @property
    def content_rules(self) -> bool:
        """Whether anything is asked of what is in a file, archives apart."""
        return not self.encrypted or any(getattr(self, name) for name in CONTENT_LIMITS)

    @property
    def archive_rules(self) -> bool:
        return any(getattr(self, name) for name in ARCHIVE_LIMITS)

    def document(self) -> dict[str, Any]:
        """With the switches that plan steps: those that follow from the limits; a scan that is off is false.

        Without the store: neither clients nor steps are told where bytes lie."""
        switches: dict[str, Any] = {"content_rules": self.content_rules, "archive_rules": self.archive_rules}
        switches |= {"malware_scan": self.malware_scan != "off" and self.malware_scan}
        return {name: value for name, value in asdict(self).items() if name != "store"} | switches


def profiles() -> Mapping[str, Profile]:
    """Every profile by name, with the limits of the settings filled in."""
    return load_profiles(conf.get())


def profile(name: str) -> Profile:
    """Raises InvalidField for a name that is not configured."""
    found = profiles().get(name)
    if found is None:
        known = ", ".join(sorted(profiles()))
        raise InvalidField(f"There is no profile {name!r}. Profiles here: {known}.", field="profile")
    return found


@lru_cache(maxsize=4)
def load_profiles(settings: conf.Settings) -> Mapping[str, Profile]:
    """Every profile with these settings. Raises BadSetting."""
    tables: dict[str, Any] = {}
    if settings.windlass_profiles:
        try:
            tables = tomllib.loads(settings.windlass_profiles.read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise conf.BadSetting(f"WINDLASS_PROFILES {settings.windlass_profiles}: {error}") from error
    tables.setdefault("default", {"description": "Any file."})
    tables["media"] = completed(tables.get("media", {}), BUILT_IN)
    return {name: _profile(name, table, settings) for name, table in tables.items()}


def _profile(name: str, table: dict[str, Any], settings: conf.Settings) -> Profile:
    unknown = set(table) - {field.name for field in fields(Profile)} | ({"name"} & set(table))
    if unknown:
        raise conf.BadSetting(f"Profile {name!r} has an unknown key {sorted(unknown)[0]!r}.")
    _check_values(name, table)
    lists = {key: tuple(value) for key, value in table.items() if isinstance(value, list)}
    try:
        rules = read(table.get("media_types", {}))
    except ValueError as error:
        raise conf.BadSetting(f"Profile {name!r}: {error}") from error
    implied = derived(rules)
    defaults: dict[str, Any] = {
        "max_size": implied.get("max_size", settings.upload_limit),
        "allowed_mime_types": settings.allowed_mime_types or implied.get("allowed_mime_types", ()),
        "blocked_mime_types": settings.blocked_mime_types,
        "allowed_extensions": settings.allowed_extensions or implied.get("allowed_extensions", ()),
        "upload_ttl_hours": settings.upload_ttl_hours,
        "trash_hours": settings.trash_hours,
    }
    table = table | {"malware_scan": _malware_scan(name, table.get("malware_scan", "auto"), settings)}
    table = table | {"store": _store(name, table.get("store", ""), settings)}
    made = Profile(**(defaults | table | lists | {"name": name, "media_types": rules}))
    _check_sizes(made)
    return made


def _check_sizes(made: Profile) -> None:
    """Raises BadSetting for sizes that no picture has."""
    widths = made.thumbnail_widths
    if not widths or len(widths) > MOST_WIDTHS or len(set(widths)) < len(widths):
        raise conf.BadSetting(f"Profile {made.name!r}: thumbnail_widths has 1 to {MOST_WIDTHS} widths, each once.")
    if not all(16 <= width <= 4096 for width in widths):
        raise conf.BadSetting(f"Profile {made.name!r}: thumbnail_widths are 16 to 4096 pixels each.")
    if not 144 <= made.preview_height <= 2160:
        raise conf.BadSetting(f"Profile {made.name!r}: preview_height is 144 to 2160 pixels.")


def _check_values(name: str, table: Mapping[str, Any]) -> None:
    """``media_types`` has a reader of its own."""
    hints = get_type_hints(Profile)
    for key, value in table.items():
        wanted = _wanted(hints[key], value) if key != "media_types" else None
        if wanted is not None:
            raise conf.BadSetting(f"Profile {name!r}: {key} must be {wanted}, not {value!r}.")
    if table.get("max_archive_entries", 0) > MOST_ARCHIVE_ENTRIES:
        raise conf.BadSetting(
            f"Profile {name!r}: max_archive_entries may be {MOST_ARCHIVE_ENTRIES} at most, as more are not looked at; "
            "0 sets no limit."
        )


def _wanted(hint: Any, value: Any) -> str | None:
    """What the value of a key must be; None where it is."""
    if get_origin(hint) is Literal:
        return None if value in get_args(hint) else " or ".join(map(repr, get_args(hint)))
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        good = isinstance(value, list) and all(_wanted(item, each) is None for each in value)
        return None if good else f"a list of {'texts' if item is str else 'whole numbers'}"
    if hint is bool:
        return None if isinstance(value, bool) else "true or false"
    if hint is str:
        return None if isinstance(value, str) else "a text"
    kinds, said = (int, "a whole number") if hint is int else (int | float, "a number")
    good = isinstance(value, kinds) and not isinstance(value, bool) and value >= 0
    return None if good else f"{said}, not below 0"


def _malware_scan(name: str, asked: str, settings: conf.Settings) -> str:
    """``auto`` as it turns out here. What must be scanned and cannot be is an error, not a file that waits for ever."""
    if asked == "auto":
        return "required" if settings.scanner_name else "off"
    if asked != "off" and not settings.scanner_name:
        raise conf.BadSetting(f"Profile {name!r}: malware_scan is {asked}, and no scanner is set: set CLAMAV_URL.")
    return asked


def _store(name: str, asked: str, settings: conf.Settings) -> str:
    """The store by its name."""
    if not asked:
        return conf.default_store(settings)
    if conf.store_settings(settings, asked) is None:
        known = ", ".join(conf.known_stores(settings))
        raise conf.BadSetting(f"Profile {name!r}: there is no store {asked!r}. Stores here: {known}.")
    return asked
