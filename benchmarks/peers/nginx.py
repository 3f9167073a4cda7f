"""nginx with its WebDAV module: it copies bytes between socket and file and does nothing else. The upper limit."""

from __future__ import annotations

import grp
import os
import pwd
import re
import subprocess
from pathlib import Path
from typing import ClassVar

from benchmarks import dialects
from benchmarks.peers.base import Peer, UnavailableError, find_tool

CONFIGURATION = """
daemon off;
{user}
pid nginx.pid;
worker_processes auto;
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000;
    client_body_temp_path temp;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
        root store;
        client_max_body_size 0;
        {locations}
    }}
}}
"""

PUTS = "location / { dav_methods PUT; create_full_put_path on; }"

#: As docs/how-to/let-the-proxy-send-files.md has it.
PROXIES = """
        location / {{
            proxy_pass http://127.0.0.1:{port};
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_set_header Host $http_host;
        }}
        location /windlass-media/ {{
            internal;
            alias {media}/;
            etag off;
            add_header ETag $upstream_http_etag;
            add_header X-Content-Type-Options nosniff;
            add_header Content-Security-Policy sandbox;
        }}
"""


def nginx_command(directory: Path, port: int, locations: str) -> list[str]:
    """Write the configuration with these locations; return the command that starts nginx."""
    configuration = directory / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(port=port, user=_user(), locations=locations))
    return [find_tool("nginx"), "-e", "stderr", "-p", str(directory), "-c", str(configuration)]


def _user() -> str:
    """Keep the user: started as root, nginx runs its workers as a user who cannot enter the directory."""
    if os.geteuid() != 0:
        return ""
    return f"user {pwd.getpwuid(os.geteuid()).pw_name} {grp.getgrgid(os.getegid()).gr_name};"


class Nginx(Peer):
    key = "nginx"
    name = "nginx"
    dialects: ClassVar = {"PUT": dialects.put}

    def prepare(self) -> str:
        about = subprocess.run([find_tool("nginx"), "-V"], capture_output=True, text=True, check=True).stderr
        if "http_dav_module" not in about:
            raise UnavailableError("this nginx was built without http_dav_module, so it accepts no PUT")
        found = re.search(r"nginx/(\S+)", about)
        return found[1] if found else "unknown"

    def command(self, directory: Path, port: int) -> list[str]:
        (directory / "store").mkdir()
        return nginx_command(directory, port, PUTS)
