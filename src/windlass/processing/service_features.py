"""Which features of the server work: by the service level, its components, the settings and what is installed."""

from __future__ import annotations

from windlass import conf
from windlass.events.api import LevelStatus
from windlass.files.api import profiles
from windlass.processing.registry import installed, missing
from windlass.resilience.service_level import FAILED, features_of

#: The steps of which one must be installed, by feature.
STEPS = {
    "text": ("text",),
    "thumbnails": ("thumbnail", "pdf_thumbnail", "video_thumbnail"),
    "previews": ("audio_preview", "video_preview"),
    "ocr": ("ocr",),
}


def available_features(status: LevelStatus) -> list[str]:
    """Return the names of the features that work now, as clients may rely on them."""
    return features_of(status.level, status.components, _left_out(status))


def _left_out(status: LevelStatus) -> set[str]:
    lacking = {feature for feature, steps in STEPS.items() if not any(_is_installed(step) for step in steps)}
    if not conf.get().scanner_name:
        lacking.add("malware_scan")
    elif status.components.get("scanner") == FAILED and _requires_scan("default"):
        lacking |= {"processing", *STEPS}  # files wait for the scan
    return lacking


def _requires_scan(name: str) -> bool:
    profile = profiles().get(name)
    return profile is not None and profile.malware_scan == "required"


def _is_installed(name: str) -> bool:
    step = installed().get(name)
    return step is not None and missing(step.about) is None
