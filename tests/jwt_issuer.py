"""An issuer of JSON Web Tokens for tests: keys of each type, tokens of any content, and a server of its JWK Set."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SECRET = "a-secret-of-the-tests-with-enough-bytes-for-every-hash-of-HS512-64"
#: An algorithm of each type of private key.
ALGORITHMS = {"RS256": "rsa", "ES256": "ec", "EdDSA": "ed25519"}


def private_key(kind: str, number: int = 0) -> Any:
    """The private key of this number: ``rsa``, ``ec`` or ``ed25519``."""
    return _private_key(kind, number)


@cache
def _private_key(kind: str, number: int) -> Any:
    match kind:
        case "rsa":
            return rsa.generate_private_key(65537, 2048)
        case "ec":
            return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


def public_pem(kind: str, number: int = 0) -> str:
    key = private_key(kind, number).public_key()
    return str(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def jwk(kind: str, number: int = 0, **members: Any) -> dict[str, Any]:
    writers: dict[str, Any] = {
        "rsa": jwt.algorithms.RSAAlgorithm,
        "ec": jwt.algorithms.ECAlgorithm,
        "ed25519": jwt.algorithms.OKPAlgorithm,
    }
    public = private_key(kind, number).public_key()
    found: dict[str, Any] = json.loads(writers[kind].to_jwk(public))
    return found | {"kid": f"{kind}-{number}", "use": "sig"} | members


def claims(**changes: Any) -> dict[str, Any]:
    """Claims that are valid for ten minutes; a change of None removes the claim."""
    made = {"sub": "ana", "exp": int(time.time()) + 600} | changes
    return {name: value for name, value in made.items() if value is not None}


def token(algorithm: str = "HS256", key: Any = SECRET, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
    signing = private_key(ALGORITHMS[algorithm]) if algorithm in ALGORITHMS and key == SECRET else key
    return jwt.encode(claims(**changes), signing, algorithm, headers=header)


def raw_token(header: bytes, payload: bytes, key: bytes = SECRET.encode()) -> str:
    """A token of any bytes, whose HMAC (SHA-256) is right."""
    import hashlib
    import hmac

    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, payload))
    signature = base64.urlsafe_b64encode(hmac.new(key, signed, hashlib.sha256).digest()).rstrip(b"=")
    return (signed + b"." + signature).decode()


class JwksServer:
    """Serves ``document`` with ``status``; counts the requests. ``before`` runs before each reply."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.document: Any = {"keys": []}
        self.status = 200
        self.requests = 0
        self.before: Callable[[], None] = lambda: None

    def serve(self, *keys: dict[str, Any]) -> None:
        self.document = {"keys": list(keys)}


@contextmanager
def jwks_server() -> Iterator[JwksServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.requests += 1
            served.before()
            body = served.document if isinstance(served.document, bytes) else json.dumps(served.document).encode()
            try:
                self.send_response(served.status)
                self.send_header("Content-Length", str(len(body)))
                if 300 <= served.status < 400:
                    self.send_header("Location", served.url)
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                pass  # the client has not waited

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served = JwksServer(f"http://127.0.0.1:{server.server_port}/jwks.json")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
