"""The settings of this process, read once."""

from __future__ import annotations

from typing import Any

from windlass.conf import reader
from windlass.conf.reader import BadSetting
from windlass.conf.settings import Settings
from windlass.conf.stores import check_stores

_current: Settings | None = None


def get() -> Settings:
    """The settings in force. Raises BadSetting where the environment holds a bad value."""
    global _current
    if _current is None:
        _current = load()
    return _current


def reload() -> Settings:
    """Read them again: after a test, or another project's settings override, has changed them."""
    global _current
    _current = None
    return get()


#: A secret of fewer characters, or of fewer different ones, could be guessed.
SECRET_KEY_LENGTH = 32
SECRET_KEY_CHARACTERS = 5


def load() -> Settings:
    found = reader.read(Settings, _of_another_project(), reader.environment())
    if found.secret_key and stands_alone():  # another project has a key of its own
        check_secret_key(found.secret_key, "SECRET_KEY")
    check_stores(found)
    _check_encryption(found)
    return found


def stands_alone() -> bool:
    """Whether Django runs on Windlass's own settings, or on none yet."""
    from django.conf import settings

    return not settings.configured or getattr(settings, "SETTINGS_MODULE", "") == "windlass.settings"


def check_secret_key(key: str, name: str) -> None:
    """Raises BadSetting, whose text does not repeat the key."""
    if len(key) < SECRET_KEY_LENGTH:
        wrong = f"has {len(key)} characters; it must have at least {SECRET_KEY_LENGTH}"
    elif len(set(key)) < SECRET_KEY_CHARACTERS:
        wrong = f"has {len(set(key))} different characters; it must have at least {SECRET_KEY_CHARACTERS}"
    elif key.startswith("django-insecure-"):
        wrong = "is one of Django's examples, which are not secret"
    else:
        return
    raise BadSetting(
        f"{name} {wrong}: whoever guesses it can sign in as anybody. Leave it empty and one is made and kept in the "
        "home directory, or make one with `python -c 'import secrets; print(secrets.token_urlsafe(50))'`"
    )


def _check_encryption(found: Settings) -> None:
    """Whoever sets a key believes that it is used. Raises BadSetting."""
    if found.storage_backend == "s3" and found.encryption_key:
        raise BadSetting(
            "ENCRYPTION_KEY is not for S3: it encrypts what local stores and Django storages keep. For new files in "
            "the bucket set AWS_S3_SERVER_SIDE_ENCRYPTION, or a rule of the bucket. For files that were encrypted here "
            "before put the key into ENCRYPTION_OLD_KEYS, for other stores into their table of WINDLASS_STORES."
        )


def _of_another_project() -> dict[str, Any]:
    """``settings.WINDLASS`` where Windlass is an app of another Django project.

    There an open door would be open to that project's whole audience, so credentials are required unless it says else.
    """
    from django.conf import settings

    given = getattr(settings, "WINDLASS", None) if settings.configured else None
    if given is None and stands_alone():
        return {}
    return {"AUTH_MODE": "required"} | dict(given or {})
