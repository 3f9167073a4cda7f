"""The socket that the web process listens on, and the rule which addresses open mode allows."""

from __future__ import annotations

import ipaddress
import os
import socket

from windlass import conf
from windlass.cli.errors import CommandError

BACKLOG = 2048


def require_loopback_in_open_mode(host: str, settings: conf.Settings) -> None:
    """Refuse a public address in open mode, where everybody who can connect has every right. Raises CommandError."""
    if settings.credentials_required or is_loopback(host):
        return
    raise CommandError(
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
    """Return a listening socket. Raises CommandError if the address is in use or does not belong to this machine."""
    address_text = host.strip("[]")
    try:
        family, _, _, _, address = socket.getaddrinfo(
            address_text, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        # create_server adds the address to its message; the errno of gaierror is not one of the system's.
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise CommandError(f"cannot listen on {host} port {port}: {reason}") from error


def browser_url(host: str, port: int) -> str:
    """Return the URL at which a browser on this machine reaches a server that listens on ``host``."""
    address_text = host.strip("[]")
    if address_text in ("", "0.0.0.0", "::"):  # noqa: S104  compared, not bound
        address_text = "127.0.0.1"
    return f"http://[{address_text}]:{port}/" if ":" in address_text else f"http://{address_text}:{port}/"
