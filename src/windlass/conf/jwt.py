"""Settings of JSON Web Tokens that depend on each other, and the keys that they give."""

from __future__ import annotations

from functools import lru_cache

from windlass.conf.reader import BadSetting
from windlass.conf.setting_definitions import Settings
from windlass.kernel.jwt_keys import VerificationKey, key_of_secret, keys_of_pem


def check_jwt(settings: Settings) -> None:
    """Raises BadSetting."""
    sources = {
        "JWT_JWKS_URL": settings.jwt_jwks_url,
        "JWT_PUBLIC_KEY": settings.jwt_public_key,
        "JWT_SECRET": settings.jwt_secret,
    }
    given = [name for name, value in sources.items() if value]
    if len(given) > 1:
        raise BadSetting(f"{' and '.join(given)} are set: tokens are verified with one of them")
    if settings.jwt_secret_fallbacks and not settings.jwt_secret:
        raise BadSetting("JWT_SECRET_FALLBACKS does nothing without JWT_SECRET: set both or neither")
    if (settings.jwt_issuer or settings.jwt_audience) and not given:
        raise BadSetting(f"JWT_ISSUER and JWT_AUDIENCE do nothing without one of {', '.join(sources)}")
    keys = static_keys(settings)
    unused = [key for key in keys if not key.algorithms & set(settings.jwt_algorithms)]
    if unused:
        raise BadSetting(
            f"JWT_ALGORITHMS is {','.join(settings.jwt_algorithms)}, and the key of {given[0]} verifies none of them: "
            f"it verifies {', '.join(sorted(unused[0].algorithms))}"
        )


def static_keys(settings: Settings) -> tuple[VerificationKey, ...]:
    """The keys that are in the settings themselves; none with JWT_JWKS_URL."""
    return _static_keys(settings.jwt_public_key, (settings.jwt_secret, *settings.jwt_secret_fallbacks))


@lru_cache(maxsize=4)
def _static_keys(public_key: str, secrets: tuple[str, ...]) -> tuple[VerificationKey, ...]:
    if public_key:
        return tuple(keys_of_pem(public_key))
    return tuple(key_of_secret(secret) for secret in secrets if secret)
