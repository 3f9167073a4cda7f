"""The socket that clients connect to, and who may."""

from __future__ import annotations

import ipaddress
import os
import socket

from windlass import conf
from windlass.cli.refusal import Refusal

BACKLOG = 2048


def refuse_public(host: str, settings: conf.Settings) -> None:
    """In open mode anybody who can connect has every right, so only this machine may. Raises Refusal."""
    if settings.credentials_required or is_loopback(host):
        return
    raise Refusal(
        f"{host} is not a loopback address, and AUTH_MODE=open lets everybody who can connect do everything. "
        "Set AUTH_MODE=required and make a credential with `windlass token create --user NAME`, "
        "or listen on 127.0.0.1."
    )


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises Refusal where the address is taken or is none of this machine."""
    bare = host.strip("[]")
    try:
        family, _, _, _, address = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        # create_server adds the address to the text; a failed look-up of the name has a number of its own kind.
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise Refusal(f"cannot listen on {host} port {port}: {reason}") from error


def url_of(host: str, port: int) -> str:
    """Where a browser on this machine finds a server that listens on ``host``."""
    bare = host.strip("[]")
    if bare in ("", "0.0.0.0", "::"):  # noqa: S104  compared, not bound
        bare = "127.0.0.1"
    return f"http://[{bare}]:{port}/" if ":" in bare else f"http://{bare}:{port}/"
