"""What versitygw lacks: a bucket that takes forms, by Amazon's description of "POST Object" and of its policies.

It stands before the real server under an address of its own, passes everything else on as it is, and puts there what
came in a form that its policy allows.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import http.server
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from python_multipart import parse_form

from tests.services import S3Server

#: Form fields that no condition need name.
_FREE = {"x-amz-signature", "policy", "file"}


class _Refused(Exception):
    pass


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    s3: S3Server

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def do_POST(self) -> None:
        if not self.headers.get("Content-Type", "").startswith("multipart/form-data"):
            self._pass_on()
            return
        fields, data = self._form()
        try:
            policy = allowed(self.s3, fields, data)
        except _Refused as error:
            self._answer(403, f"<Error><Code>AccessDenied</Code><Message>{error}</Message></Error>".encode())
            return
        sent = self.s3.client.put_object(
            Bucket=policy["bucket"], Key=fields["key"], Body=data, ContentType=fields["Content-Type"]
        )
        place = f"http://{self.headers['Host']}/{policy['bucket']}/{quote(fields['key'])}"
        self._answer(int(fields["success_action_status"]), b"<PostResponse/>", ETag=sent["ETag"], Location=place)

    def _pass_on(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:  # the page was closed
            self.close_connection = True
            return
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.s3.port, timeout=60)) as to:
            to.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                to.putheader(name, value)  # the Host that was signed, too
            to.endheaders(body)
            reply = to.getresponse()
            content = reply.read()
        self.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in ("content-length", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self._end(content if self.command != "HEAD" else b"")

    do_PUT = do_GET = do_HEAD = do_DELETE = do_OPTIONS = _pass_on

    def _form(self) -> tuple[dict[str, str], bytes]:
        fields: dict[str, str] = {}
        files: list[bytes] = []

        def on_field(field: Any) -> None:
            fields[field.field_name.decode()] = (field.value or b"").decode()

        def on_file(file: Any) -> None:
            file.file_object.seek(0)
            files.append(file.file_object.read())
            file.close()

        parse_form(dict(self.headers.items()), self.rfile, on_field, on_file)  # type: ignore[arg-type]
        return fields, files[0]

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        allow = {"Access-Control-Allow-Origin": self.headers.get("Origin", "*")}
        allow["Access-Control-Expose-Headers"] = "ETag, Location"
        for name, value in {**headers, **allow, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self._end(body)

    def _end(self, body: bytes) -> None:
        """Send the headers and the body; the page may have been closed."""
        try:
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True


def allowed(s3: S3Server, fields: dict[str, str], data: bytes) -> dict[str, str]:
    """What the policy names, if it is signed, still holds, and allows this form. Raises _Refused."""
    _must_be_signed(s3, fields)
    policy = json.loads(base64.b64decode(fields["policy"]))
    if datetime.fromisoformat(policy["expiration"]) < datetime.now(UTC):
        raise _Refused("Policy expired.")
    said: dict[str, str] = {}
    for condition in policy["conditions"]:
        match condition:
            case ["content-length-range", least, most]:
                if not least <= len(data) <= most:
                    raise _Refused(f"{len(data)} bytes are not within {least} and {most}.")
            case dict():
                said |= condition
            case other:
                raise _Refused(f"A condition is not understood: {other}")
    named = {name.lower(): value for name, value in said.items()}
    for name, value in fields.items():
        if name.lower() not in _FREE and named.get(name.lower()) != value:
            raise _Refused(f"Policy condition failed: {name}")
    proof = fields.get("x-amz-checksum-sha256")
    if proof is not None and base64.b64decode(proof) != hashlib.sha256(data).digest():
        raise _Refused("The SHA256 you specified did not match.")
    return said


def _must_be_signed(s3: S3Server, fields: dict[str, str]) -> None:
    _access, *scope = fields["x-amz-credential"].split("/")
    key = f"AWS4{s3.SECRET}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    if hmac.digest(key, fields["policy"].encode(), "sha256").hex() != fields["x-amz-signature"]:
        raise _Refused("SignatureDoesNotMatch")


@contextlib.contextmanager
def taking_forms(s3: S3Server) -> Iterator[str]:
    """The server's URL with forms."""
    handler = type("Handler", (_Handler,), {"s3": s3})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        listening.daemon_threads = True
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()
        thread.join()
