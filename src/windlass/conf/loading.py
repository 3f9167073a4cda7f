"""Load the settings of this process, once."""

from __future__ import annotations

from typing import Any

from windlass.conf import reader
from windlass.conf.embeddings import check_embeddings
from windlass.conf.graph import check_graph
from windlass.conf.jwt import check_jwt
from windlass.conf.reader import BadSetting
from windlass.conf.setting_definitions import Settings
from windlass.conf.stores import check_stores

_current: Settings | None = None


def get() -> Settings:
    """The current settings. Raises BadSetting where the environment has an invalid value."""
    global _current
    if _current is None:
        _current = load()
    return _current


def reload() -> Settings:
    """Load the settings again, after a test or another project's settings override changed them.

    Other threads have those of before meanwhile: none of them may begin to load, and keep what it has read too late.
    """
    global _current
    _current = load()
    return _current


#: A key with fewer characters, or fewer different ones, could be guessed.
MIN_SECRET_KEY_LENGTH = 32
MIN_SECRET_KEY_CHARACTERS = 5


def load() -> Settings:
    """Read and check the settings, without keeping them. Raises BadSetting."""
    settings = reader.read(Settings, _project_settings(), reader.environment())
    if settings.secret_key and is_standalone():  # another project has a key of its own
        check_secret_key(settings.secret_key, "SECRET_KEY")
    for key in settings.secret_key_fallbacks:
        check_secret_key(key, "A key of SECRET_KEY_FALLBACKS")
    check_stores(settings)
    _check_encryption(settings)
    check_jwt(settings)
    check_embeddings(settings)
    check_graph(settings)
    return settings


def is_standalone() -> bool:
    """Whether Django runs with Windlass's own settings, or is not configured yet."""
    from django.conf import settings

    return not settings.configured or getattr(settings, "SETTINGS_MODULE", "") == "windlass.settings"


def check_secret_key(key: str, name: str) -> None:
    """Refuse a key that could be guessed. Raises BadSetting, which calls it ``name`` and does not repeat it."""
    if len(key) < MIN_SECRET_KEY_LENGTH:
        wrong = f"has {len(key)} characters; it must have at least {MIN_SECRET_KEY_LENGTH}"
    elif len(set(key)) < MIN_SECRET_KEY_CHARACTERS:
        wrong = f"has {len(set(key))} different characters; it must have at least {MIN_SECRET_KEY_CHARACTERS}"
    elif key.startswith("django-insecure-"):
        wrong = "is one of Django's examples, which are not secret"
    else:
        return
    raise BadSetting(
        f"{name} {wrong}: whoever guesses it can sign in as anybody. Leave it empty to have one generated in the home "
        "directory, or generate one with `python -c 'import secrets; print(secrets.token_urlsafe(50))'`"
    )


def _check_encryption(settings: Settings) -> None:
    """Refuse a key that would not be used. Raises BadSetting."""
    if settings.storage_backend == "s3" and settings.encryption_key:
        raise BadSetting(
            "ENCRYPTION_KEY does not apply to S3: it encrypts files in local stores and Django storages. For new files "
            "in the bucket set AWS_S3_SERVER_SIDE_ENCRYPTION, or a rule of the bucket. For files that were encrypted "
            "before, add the key to ENCRYPTION_OLD_KEYS; for other stores, to their table in WINDLASS_STORES."
        )


def _project_settings() -> dict[str, Any]:
    """``settings.WINDLASS`` where Windlass is an app of another Django project, else nothing.

    There AUTH_MODE is ``required`` by default, because the project's server is usually reachable by others.
    """
    from django.conf import settings

    given = getattr(settings, "WINDLASS", None) if settings.configured else None
    if given is None and is_standalone():
        return {}
    return {"AUTH_MODE": "required"} | dict(given or {})
