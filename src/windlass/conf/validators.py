"""Checks of single settings. Each returns what is wrong with a value, to follow the setting's name, or None."""

from __future__ import annotations

import difflib
import ipaddress
import json
import re
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from windlass.kernel import jwt_keys, secret_keys

#: Schemes of DATABASE_URL that windlass.settings supports.
DATABASE_SCHEMES = ("postgres", "postgresql", "pgsql", "sqlite")
#: Celery's transports.
BROKER_SCHEMES = (
    *("amqp", "amqps", "pyamqp", "librabbitmq", "redis", "rediss", "sentinel", "sqs", "memory", "filesystem"),
    *("confluentkafka", "kafka", "mongodb", "zookeeper", "sqlalchemy", "sqla", "qpid", "consul", "etcd", "pyro"),
    *("azurestoragequeues", "azureservicebus", "gcpubsub", "slmq", "hazelcast", "windlass"),
)
_CLAMD = re.compile(r"tcp://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})|unix:///.+")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9.\-\[\]:]+")
_KEY_PREFIX = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*/?")


def positive(value: float | None) -> str | None:
    return None if value is None or value > 0 else "it must be greater than 0"


def not_negative(value: float) -> str | None:
    return None if value >= 0 else "it must not be negative"


def between(least: int, most: int) -> Callable[[float], str | None]:
    return lambda value: None if least <= value <= most else f"it must be from {least} to {most}"


def _matching(pattern: str, requirement: str) -> Callable[[str], str | None]:
    """A check of values that are empty or match ``pattern``."""
    return lambda value: None if not value or re.fullmatch(pattern, value) else requirement


url_path = _matching(r"(?:/[A-Za-z0-9._~-]+)+", "it must begin with a slash and end without one")
sentry_dsn = _matching(
    r"https?://[^/?#@:\s]+(:[^/?#@\s]*)?@[^/?#@\s]+(/[^?#\s]*)?/\d+",
    "is not a DSN: it must be https://key@host/number, as the Sentry project's settings show it",
)
http_url = _matching(r"https?://[^/?#@\s]+(/[^?#\s]*)?", "it must be a URL such as https://s3.example.org")


def is_redis(url: str) -> bool:
    return url.startswith(("redis://", "rediss://", "redis+unix://"))


def redis_url(url: str) -> str | None:
    return None if not url or is_redis(url) else "must be the URL of a Redis, such as redis://host:6379/1"


def body_memory(value: int) -> str | None:
    return None if value >= 32 else "it must be at least 32: one chunk in JSON takes 24"


#: Any page, and the pages without an origin of their own: those opened from disk, and sandboxed frames of any page.
ANY_ORIGIN, NULL_ORIGIN = "*", "null"


def origins(value: tuple[str, ...]) -> str | None:
    wrong = [each for each in value if each not in (ANY_ORIGIN, NULL_ORIGIN) and not _ORIGIN.fullmatch(each)]
    return f"{wrong[0]!r} is not an origin: scheme://host or scheme://host:port, in lower case" if wrong else None


def delays(value: tuple[str, ...]) -> str | None:
    for each in value:
        try:
            valid = 0 < float(each) <= 30 * 24 * 3600
        except ValueError:
            valid = False
        if not valid:
            return f"{each!r} is not a number of seconds greater than 0, at most 30 days"
    return None


def networks(value: tuple[str, ...]) -> str | None:
    for each in value:
        try:
            _ = each == "*" or ipaddress.ip_network(each, strict=False)
        except ValueError:
            return f"{each!r} is neither an address nor a network"
    return None


def clamd_url(value: str) -> str | None:
    match = _CLAMD.fullmatch(value)
    valid = not value or (match and 0 < int(match["port"] or 1) < 65536)
    return None if valid else "it must be tcp://host:port or unix:///path"


def key_prefix(value: str) -> str | None:
    valid = not value or (_KEY_PREFIX.fullmatch(value) and ".." not in value.split("/"))
    return None if valid else "it must be names separated by slashes"


def json_object(text: str) -> str | None:
    try:
        value = json.loads(text or "{}")
    except (TypeError, ValueError) as error:
        return f"is not valid JSON: {error}"
    return None if isinstance(value, dict) else 'must be a JSON object, such as {"location": "/srv/files"}'


#: What BREAKER_SERVICES may set of a service.
SERVICE_THRESHOLDS = ("failure_threshold", "success_threshold", "recovery_seconds")


def service_thresholds(text: str) -> str | None:
    try:
        services = json.loads(text or "{}")
    except ValueError as error:
        return f"is not valid JSON: {error}"
    if not isinstance(services, dict) or not all(isinstance(table, dict) for table in services.values()):
        return 'must be a JSON object of objects, such as {"ocr": {"failure_threshold": 3}}'
    for service, table in services.items():
        for name, value in table.items():
            if name not in SERVICE_THRESHOLDS:
                return f"{service} has no {name!r}; there are {', '.join(SERVICE_THRESHOLDS)}"
            kinds = (int, float) if name == "recovery_seconds" else (int,)  # bool is neither
            if type(value) not in kinds or value <= 0:
                return f"{name} of {service} is {value!r}: it must be a number greater than 0, and a count be whole"
    return None


def encryption_key(text: str) -> str | None:
    return encryption_keys([text] if text else [])


def encryption_keys(texts: Sequence[str]) -> str | None:
    for text in texts:
        try:
            secret_keys.parse(text)
        except ValueError as error:
            return f"has a wrong value: {error}"
    return None


def public_keys(text: str) -> str | None:
    try:
        _ = text and jwt_keys.keys_of_pem(text)
    except ValueError as error:
        return f"has a wrong value: {error}"
    return None


def jwt_secret(secret: str) -> str | None:
    return jwt_secrets([secret] if secret else [])


def jwt_secrets(secrets: Sequence[str]) -> str | None:
    for secret in secrets:
        try:
            jwt_keys.key_of_secret(secret)
        except ValueError as error:
            return f"has a wrong value: {error}"
    return None


def jwt_algorithms(names: tuple[str, ...]) -> str | None:
    wrong = [name for name in names if name not in jwt_keys.ALGORITHMS]
    if wrong:
        return f"{wrong[0]!r}{_suggestion(wrong[0], jwt_keys.ALGORITHMS)} is none of {', '.join(jwt_keys.ALGORITHMS)}"
    return None if names else "it must name at least one algorithm"


owner_prefix = _matching(r"[a-z][a-z0-9-]{0,29}:", "it must be a word and a colon, such as `jwt:`")


def database_url(url: str) -> str | None:
    if not url:
        return None
    scheme = url.partition(":")[0].lower()
    if scheme not in DATABASE_SCHEMES or "://" not in url:
        return (
            f"begins with {scheme[:20]!r}{_suggestion(scheme, DATABASE_SCHEMES)}: it must be "
            "postgres://user:password@host:5432/name, or sqlite:////path/of/a/file"
        )
    try:
        parts = urlsplit(url)
        valid = bool(parts.path.strip("/")) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if valid:
        return None
    return (
        "names no database, or cannot be read: it must be postgres://user:password@host:5432/name, or "
        "sqlite:////path/of/a/file. Characters such as / # ? [ ] @ in a user name or password are percent-encoded"
    )


def broker_url(urls: str) -> str | None:
    """Several brokers are separated by semicolons, as in Celery."""
    for url in filter(None, urls.split(";")):
        scheme = url.partition(":")[0].lower()
        if scheme.partition("+")[0] not in BROKER_SCHEMES or "://" not in url:
            return (
                f"begins with {scheme[:20]!r}{_suggestion(scheme, BROKER_SCHEMES)}: it must be the URL of a broker "
                "that Celery supports, such as redis://host:6379/0 or amqp://user:password@host//"
            )
        try:
            _ = urlsplit(url).port
        except ValueError:
            return (
                "cannot be read: its port is not a number, or its user name or password has characters that must be "
                "percent-encoded, such as / # ? [ ] @"
            )
    return None


def _suggestion(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near and near[0] != word else ""
