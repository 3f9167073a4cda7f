"""JSON Web Tokens: which are accepted with which key, and that no text of any kind is anything but refused."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import jwt_issuer
from tests.jwt_issuer import SECRET, jwk, private_key, public_pem, raw_token, token
from windlass.accounts.json_web_tokens.claims import is_staff, subject_of
from windlass.accounts.json_web_tokens.verification import (
    MAX_TOKEN_LENGTH,
    NoKeyForToken,
    check_audience,
    check_issuer,
    check_times,
    is_compact_jws,
    read_header,
    verify_signature,
)
from windlass.conf import BadSetting, Settings
from windlass.conf.jwt import check_jwt
from windlass.conf.reader import read
from windlass.kernel.jwt_keys import ALGORITHMS, VerificationKey, key_of_secret, keys_of_jwks, keys_of_pem
from windlass.kernel.problem_types import InvalidToken

KINDS = ("secret", "rsa", "ec", "ed25519")
ALGORITHM = {"secret": "HS256", "rsa": "RS256", "ec": "ES256", "ed25519": "EdDSA"}


def keys(kind: str, number: int = 0) -> list[VerificationKey]:
    return [key_of_secret(SECRET)] if kind == "secret" else keys_of_pem(public_pem(kind, number))


def verify(signed: str, known: list[VerificationKey], allowed: tuple[str, ...] = ALGORITHMS) -> dict[str, Any]:
    return verify_signature(signed, read_header(signed), known, allowed)


@pytest.mark.parametrize("signed_with", KINDS)
@pytest.mark.parametrize("verified_with", KINDS)
def test_a_token_is_verified_by_the_key_that_signed_it_only(signed_with: str, verified_with: str) -> None:
    signed = token(ALGORITHM[signed_with])
    if signed_with == verified_with:
        assert verify(signed, keys(verified_with))["sub"] == "ana"
    else:
        with pytest.raises(InvalidToken):
            verify(signed, keys(verified_with))


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
@pytest.mark.parametrize("secret", ["pem", "der"])
def test_a_public_key_never_verifies_an_hmac(kind: str, secret: str) -> None:
    """Algorithm confusion: everybody has the public key, and could use it as the secret of an HMAC."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    form = {"pem": Encoding.PEM, "der": Encoding.DER}[secret]
    public = private_key(kind).public_key().public_bytes(form, PublicFormat.SubjectPublicKeyInfo)
    forged = raw_token(b'{"alg":"HS256","typ":"JWT"}', json.dumps(jwt_issuer.claims()).encode(), public)
    with pytest.raises(NoKeyForToken):
        verify(forged, keys(kind))


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", ""])
@pytest.mark.parametrize("kind", KINDS)
def test_an_unsigned_token_is_refused(name: str, kind: str) -> None:
    header = json.dumps({"alg": name}).encode()
    signed = raw_token(header, json.dumps(jwt_issuer.claims()).encode())
    for forged in (signed, signed.rpartition(".")[0] + "."):
        with pytest.raises(InvalidToken, match="not accepted"):
            verify(forged, keys(kind))


def test_an_algorithm_that_is_not_allowed_is_refused_although_the_key_fits() -> None:
    with pytest.raises(InvalidToken, match="accepted: HS256"):
        verify(token("HS512"), keys("secret"), ("HS256",))
    assert verify(token("HS512"), keys("secret"))["sub"] == "ana"


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_token_is_refused(kind: str) -> None:
    header, payload, signature = token(ALGORITHM[kind]).split(".")
    other = token(ALGORITHM[kind], sub="ben").split(".")[1]
    flipped = signature[:5] + ("A" if signature[5] != "A" else "B") + signature[6:]
    for forged in (f"{header}.{other}.{signature}", f"{header}.{payload}.{flipped}", f"{header}.{payload}."):
        with pytest.raises(InvalidToken, match="signature"):
            verify(forged, keys(kind))


class TestKid:
    def test_the_kid_names_the_key(self) -> None:
        known = keys_of_jwks({"keys": [jwk("rsa", 0), jwk("rsa", 1)]})
        signed = token("RS256", private_key("rsa", 1), header={"kid": "rsa-1"})
        assert verify(signed, known)["sub"] == "ana"
        with pytest.raises(InvalidToken, match="signature"):
            verify(token("RS256", private_key("rsa", 1), header={"kid": "rsa-0"}), known)

    def test_an_unknown_kid_says_so(self) -> None:
        with pytest.raises(NoKeyForToken):
            verify(token("RS256", header={"kid": "other"}), keys_of_jwks({"keys": [jwk("rsa")]}))

    def test_without_kid_each_key_of_the_type_is_tried(self) -> None:
        known = keys_of_jwks({"keys": [jwk("ec", 0), jwk("rsa", 0), jwk("rsa", 1)]})
        assert verify(token("RS256", private_key("rsa", 1)), known)["sub"] == "ana"

    @pytest.mark.parametrize("kid", ["../../etc/passwd", "' OR 1=1 --", "http://evil.example/key", "a" * 3000])
    def test_a_hostile_kid_is_a_name_that_is_not_known(self, kid: str) -> None:
        with pytest.raises(NoKeyForToken):
            verify(token("RS256", header={"kid": kid}), keys_of_jwks({"keys": [jwk("rsa")]}))

    def test_keys_that_a_token_brings_along_are_ignored(self) -> None:
        other = private_key("rsa", 2)
        header = {"jwk": jwk("rsa", 2), "jku": "http://evil.example/jwks.json", "x5u": "http://evil.example/x.pem"}
        with pytest.raises(InvalidToken, match="signature"):
            verify(token("RS256", other, header=header), keys_of_pem(public_pem("rsa")))


class TestJwks:
    @pytest.mark.parametrize(
        "useless",
        [
            {"kty": "oct", "k": "c2VjcmV0", "kid": "s"},
            jwk("rsa", use="enc"),
            jwk("rsa", key_ops=["encrypt"]),
            jwk("rsa", key_ops="verify"),
            jwk("rsa", alg="HS256"),
            jwk("rsa", alg="none"),
            jwk("rsa", kid=5),
            jwk("rsa", d="AQAB"),
            {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
            {"kty": "RSA"},
            {"kty": "RSA", "n": 5, "e": []},
            {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
            {"kty": "OKP", "crv": "X25519", "x": "AA"},
            {"kty": ["RSA"]},
            "text",
            None,
            [],
        ],
    )
    def test_a_key_of_no_use_is_ignored_beside_a_good_one(self, useless: Any) -> None:
        assert [key.kid for key in keys_of_jwks({"keys": [useless, jwk("ec")]})] == ["ec-0"]
        with pytest.raises(ValueError, match="no public key"):
            keys_of_jwks({"keys": [useless]})

    @pytest.mark.parametrize("document", [None, [], "text", {}, {"keys": {}}, {"keys": None}, {"keys": []}])
    def test_what_is_no_key_set_is_refused(self, document: Any) -> None:
        with pytest.raises(ValueError, match="it "):
            keys_of_jwks(document)

    def test_the_alg_of_a_key_restricts_it(self) -> None:
        (key,) = keys_of_jwks({"keys": [jwk("rsa", alg="RS512")]})
        assert key.algorithms == {"RS512"}

    def test_the_text_of_a_key_is_not_shown(self) -> None:
        assert SECRET not in repr(key_of_secret(SECRET))


class TestHeader:
    @pytest.mark.parametrize(
        "header",
        [
            *(b"", b"null", b"[]", b'"text"', b"{", b"[" * 3000, b'{"alg":', b"\xff", b"{}", b'{"alg":5}'),
            *(b'{"alg":null}', b'{"alg":["HS256"]}', b'{"alg":"HS256","kid":5}', b'{"alg":"HS256","typ":[]}'),
            *(b'{"alg":"HS256","crit":["b64"],"b64":false}', b'{"alg":"HS256","crit":[]}'),
        ],
    )
    def test_a_malformed_header_is_refused(self, header: bytes) -> None:
        with pytest.raises(InvalidToken):
            verify(raw_token(header, b"{}"), keys("secret"))

    @pytest.mark.parametrize("payload", [b"", b"null", b"[]", b'"a"', b"5", b"{", b"[" * 3000, b"\xff", b'{"exp":NaN}'])
    def test_signed_claims_that_are_no_object_are_refused(self, payload: bytes) -> None:
        with pytest.raises(InvalidToken):
            verify(raw_token(b'{"alg":"HS256"}', payload), keys("secret"))

    def test_a_huge_token_is_refused_unread(self) -> None:
        with pytest.raises(InvalidToken, match=f"at most {MAX_TOKEN_LENGTH}"):
            read_header(token(padding="x" * MAX_TOKEN_LENGTH))

    @given(st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_=-]{0,80}\.[A-Za-z0-9_=-]{0,80}\.[A-Za-z0-9_=-]{0,80}"))
    def test_any_text_is_refused_as_a_token(self, text: str) -> None:
        if is_compact_jws(text):
            with pytest.raises(InvalidToken):
                verify(text, keys("secret"))


NOW = 1_800_000_000.0


class TestTimes:
    @pytest.mark.parametrize(
        ("times", "is_valid"),
        [
            ({"exp": NOW + 1}, True),
            ({"exp": NOW - 29}, True),
            ({"exp": NOW - 30}, False),
            ({}, False),
            ({"exp": None}, False),
            ({"exp": NOW + 60, "nbf": NOW + 30}, True),
            ({"exp": NOW + 60, "nbf": NOW + 31}, False),
            ({"exp": NOW + 60, "iat": NOW + 30}, True),
            ({"exp": NOW + 60, "iat": NOW + 31}, False),
            ({"exp": NOW + 60.5, "nbf": 0, "iat": -5}, True),
        ],
    )
    def test_expiry_begin_and_issue_with_a_leeway_of_30_seconds(self, times: dict[str, Any], is_valid: bool) -> None:
        if is_valid:
            assert check_times(times, NOW, 30) == times["exp"]
        else:
            with pytest.raises(InvalidToken):
                check_times(times, NOW, 30)

    @pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
    @pytest.mark.parametrize("value", ["1900000000", True, [], {}, 10**400, float("inf"), float("nan"), "never"])
    def test_a_time_that_is_no_number_is_refused(self, name: str, value: Any) -> None:
        with pytest.raises(InvalidToken, match="number"):
            check_times({"exp": NOW + 60} | {name: value}, NOW, 30)


class TestAudienceAndIssuer:
    @pytest.mark.parametrize(
        ("audience", "accepted", "is_valid"),
        [
            (None, (), True),
            ("files", ("files",), True),
            (["other", "files"], ("files", "more"), True),
            ("files", (), False),
            (None, ("files",), False),
            ("other", ("files",), False),
            ("file", ("files",), False),
            ([], ("files",), False),
            (5, ("files",), False),
            ({"files": 1}, ("files",), False),
            (["files", 5], ("files",), False),
            ([["files"]], ("files",), False),
        ],
    )
    def test_audience(self, audience: Any, accepted: tuple[str, ...], is_valid: bool) -> None:
        given_claims = {} if audience is None else {"aud": audience}
        if is_valid:
            check_audience(given_claims, accepted)
        else:
            with pytest.raises(InvalidToken, match="audience"):
                check_audience(given_claims, accepted)

    @pytest.mark.parametrize(
        "issuer", [None, "", "https://id.example", "https://id.example/x", ["https://id.example/"]]
    )
    def test_another_issuer_is_refused(self, issuer: Any) -> None:
        check_issuer({"iss": "https://id.example/"}, "https://id.example/")
        check_issuer({"iss": issuer}, "")
        with pytest.raises(InvalidToken, match="issuer"):
            check_issuer({"iss": issuer}, "https://id.example/")


class TestSubjectAndStaff:
    @pytest.mark.parametrize("subject", [None, "", 7, True, [], "a" * 151, "a\x00b", "a\nb", "\ud800"])
    def test_a_subject_that_cannot_be_an_owner_is_refused(self, subject: Any) -> None:
        with pytest.raises(InvalidToken, match="sub"):
            subject_of({"sub": subject})

    @pytest.mark.parametrize("subject", ["7", "a" * 150, "auth0|5f7c", "Ünal Öz", "ana@example.org"])
    def test_any_other_text_is_accepted(self, subject: str) -> None:
        assert subject_of({"sub": subject}) == subject

    @pytest.mark.parametrize(
        ("claims", "name", "value", "expected"),
        [
            ({"staff": True}, "staff", "", True),
            ({"staff": "true"}, "staff", "", False),
            ({"staff": 1}, "staff", "", False),
            ({"staff": True}, "", "", False),
            ({}, "staff", "", False),
            ({"roles": ["a", "admin"]}, "roles", "admin", True),
            ({"roles": "admin"}, "roles", "admin", True),
            ({"roles": "administrator"}, "roles", "admin", False),
            ({"roles": {"admin": 1}}, "roles", "admin", False),
            ({"realm_access": {"roles": ["admin"]}}, "realm_access.roles", "admin", True),
            ({"realm_access": ["roles"]}, "realm_access.roles", "admin", False),
            ({"https://x.example/staff": True}, "https://x.example/staff", "", True),
        ],
    )
    def test_staff(self, claims: dict[str, Any], name: str, value: str, expected: bool) -> None:
        assert is_staff(claims, name, value) is expected


class TestSettings:
    @pytest.mark.parametrize(
        ("environment", "reason"),
        [
            ({"JWT_SECRET": "short"}, "5 bytes; it must have at least 32"),
            ({"JWT_SECRET": public_pem("rsa")}, "belongs in JWT_PUBLIC_KEY"),
            ({"JWT_PUBLIC_KEY": "no key"}, "no key in PEM"),
            ({"JWT_PUBLIC_KEY": "-----BEGIN PUBLIC KEY-----\nxx\n-----END PUBLIC KEY-----"}, "cannot be read"),
            ({"JWT_PUBLIC_KEY": "-----BEGIN PRIVATE KEY-----\nxx\n-----END PRIVATE KEY-----"}, "private key"),
            ({"JWT_JWKS_URL": "ftp://id.example/"}, "must be a URL"),
            ({"JWT_ALGORITHMS": "none", "JWT_SECRET": SECRET}, "'none' is none of HS256"),
            ({"JWT_ALGORITHMS": "RS265"}, "did you mean 'RS256'"),
            ({"JWT_ALGORITHMS": "RS256", "JWT_SECRET": SECRET}, "verifies none of them: it verifies HS256"),
            ({"JWT_SECRET": SECRET, "JWT_JWKS_URL": "https://id.example/"}, "one of them"),
            ({"JWT_SECRET_FALLBACKS": SECRET}, "does nothing without JWT_SECRET"),
            ({"JWT_AUDIENCE": "files"}, "do nothing without one of"),
            ({"JWT_OWNER_PREFIX": "user"}, "a word and a colon"),
            ({"JWT_LEEWAY_SECONDS": "3600"}, "from 0 to 600"),
        ],
    )
    def test_settings_that_cannot_work_are_refused_with_the_reason(
        self, environment: dict[str, str], reason: str
    ) -> None:
        with pytest.raises(BadSetting, match=reason) as refused:
            check_jwt(read(Settings, {}, environment))
        assert SECRET not in str(refused.value)

    def test_keys_of_several_pems(self) -> None:
        assert len(keys_of_pem(public_pem("rsa") + public_pem("ec"))) == 2

    def test_a_weak_rsa_key_is_refused(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import rsa
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        weak = rsa.generate_private_key(65537, 1024).public_key()
        with pytest.raises(ValueError, match="1024 bits"):
            keys_of_pem(weak.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())

    def test_a_secret_has_the_algorithms_that_it_is_long_enough_for(self) -> None:
        assert key_of_secret("x" * 32).algorithms == {"HS256"}
        assert key_of_secret("x" * 64).algorithms == {"HS256", "HS384", "HS512"}


def test_tokens_of_pyjwt_as_applications_make_them_are_accepted() -> None:
    signed = jwt.encode({"sub": "ana", "exp": int(time.time()) + 60}, SECRET)
    assert verify(signed, keys("secret"))["sub"] == "ana"
