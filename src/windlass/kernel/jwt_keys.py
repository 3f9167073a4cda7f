"""Keys that verify the signatures of JSON Web Tokens.

The type of a key decides its algorithms (RFC 8725, 3.1), whatever the header of a token says: a public key never
verifies an HMAC, and ``none`` is the algorithm of no key.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

#: Bytes of the shortest secret: as many as the hash has (RFC 7518, 3.2).
HMAC = {"HS256": 32, "HS384": 48, "HS512": 64}
RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
#: By the name of the curve.
EC = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
ED25519 = ("EdDSA",)
ALGORITHMS = (*HMAC, *RSA, *EC.values(), *ED25519)

#: RFC 7518, 3.3.
MIN_RSA_BITS = 2048
#: Further keys of a document are ignored.
MAX_KEYS = 100

_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key, the algorithms that it may verify, and the ``kid`` of tokens that it signs, if it has one."""

    key: Any = field(repr=False)
    algorithms: frozenset[str]
    kid: str | None = None


def key_of_secret(secret: str) -> VerificationKey:
    """Raises ValueError, whose text does not repeat the secret."""
    encoded = secret.encode()
    algorithms = frozenset(name for name, shortest in HMAC.items() if len(encoded) >= shortest)
    if not algorithms:
        raise ValueError(f"it has {len(encoded)} bytes; it must have at least {min(HMAC.values())}")
    if _PEM.search(secret):
        raise ValueError("it is a key in PEM, and no secret; a public key belongs in JWT_PUBLIC_KEY")
    return VerificationKey(encoded, algorithms)


def keys_of_pem(text: str) -> list[VerificationKey]:
    """The public keys, or those of certificates, in ``text``. Raises ValueError if one of them cannot be used."""
    blocks = list(_PEM.finditer(text))
    if not blocks:
        raise ValueError("it has no key in PEM, which begins with -----BEGIN PUBLIC KEY-----")
    return [_key_of_block(block[1], block[0].encode()) for block in blocks]


def keys_of_jwks(document: Any) -> list[VerificationKey]:
    """The keys of a JWK Set (RFC 7517, 5) that can verify signatures; keys of other kinds are ignored, as is required.

    Secrets and private keys are ignored too: whoever can read the document could sign with them. Raises ValueError for
    a document without any key that can be used.
    """
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError('it is no JWK Set, which is a JSON object with a list "keys"')
    keys = [key for jwk in listed[:MAX_KEYS] for key in _keys_of_jwk(jwk)]
    if not keys:
        raise ValueError("it has no public key (RSA, EC or Ed25519) that verifies signatures")
    return keys


def candidates(keys: Collection[VerificationKey], algorithm: str, kid: str | None) -> list[VerificationKey]:
    """The keys that may have signed a token with this header: those of its ``kid``, or those without any."""
    fitting = [key for key in keys if algorithm in key.algorithms]
    return [key for key in fitting if kid is None or key.kid in (None, kid)]


def _key_of_block(label: str, pem: bytes) -> VerificationKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from cryptography.x509 import load_pem_x509_certificate

    if "PRIVATE" in label:
        raise ValueError("it is a private key; tokens are verified with the public key alone")
    try:
        key = load_pem_x509_certificate(pem).public_key() if label == "CERTIFICATE" else load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"the key in PEM cannot be read: {' '.join(str(error).split())[:200]}") from error
    return VerificationKey(key, _algorithms_of(key))


def _keys_of_jwk(jwk: Any) -> Iterator[VerificationKey]:
    """The key, or nothing if it is of no use."""
    from jwt import algorithms as readers
    from jwt.exceptions import PyJWTError

    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig" or "d" in jwk:
        return
    operations = jwk.get("key_ops")
    kid, named = jwk.get("kid"), jwk.get("alg")
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return
    kinds: dict[Any, Any] = {"RSA": readers.RSAAlgorithm, "EC": readers.ECAlgorithm, "OKP": readers.OKPAlgorithm}
    kind = jwk.get("kty")
    if not isinstance(kind, str) or kind not in kinds or not isinstance(kid, str | None):
        return
    try:
        key = kinds[kind].from_jwk(jwk)
        algorithms = _algorithms_of(key)
    except (PyJWTError, ValueError, TypeError, KeyError, OverflowError, AttributeError):
        return
    if named is not None:
        algorithms &= {str(named)}
    if algorithms:
        yield VerificationKey(key, algorithms, kid)


def _algorithms_of(key: Any) -> frozenset[str]:
    """Raises ValueError for a key that verifies no algorithm of ALGORITHMS, or is too weak."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    match key:
        case rsa.RSAPublicKey() if key.key_size < MIN_RSA_BITS:
            raise ValueError(f"the RSA key has {key.key_size} bits; it must have at least {MIN_RSA_BITS}")
        case rsa.RSAPublicKey():
            return frozenset(RSA)
        case ec.EllipticCurvePublicKey() if key.curve.name in EC:
            return frozenset({EC[key.curve.name]})
        case ed25519.Ed25519PublicKey():
            return frozenset(ED25519)
    raise ValueError("the key is neither RSA, nor EC on P-256, P-384 or P-521, nor Ed25519")
