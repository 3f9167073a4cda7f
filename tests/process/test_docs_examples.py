"""Every example of the README and the documentation runs, in the order of its page, and prints what the page says.

A page's blocks are one session of bash in a directory with a reader's files. Where a page speaks of port 8000, of a
database or of a broker, the test's own stand in their place.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from configparser import ConfigParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.sync.client import connect

from tests import markdown_pages, migrated_home, samples, services
from tests.conftest import require
from tests.markdown_pages import DOCS, ROOT, Fence, fences
from tests.process.conftest import ServerProcess, free_port

ADDRESS = "127.0.0.1:8000"
SESSION_SECONDS = 120
INTEROP = ROOT / "tests" / "interop" / "node_modules"

HOW_TO = DOCS / "how-to"
CREDENTIALS = HOW_TO / "set-up-credentials.md"
GRAPH = HOW_TO / "explore-the-graph.md"
DJANGO = HOW_TO / "use-in-your-django-project.md"
MODELS = HOW_TO / "add-files-to-your-models.md"
NGINX = HOW_TO / "put-nginx-in-front.md"
BUCKET = HOW_TO / "store-in-s3.md"
MOVE = HOW_TO / "move-files.md"
ENCRYPTION = HOW_TO / "encrypt-files-at-rest.md"
STORAGE = HOW_TO / "store-in-a-django-storage.md"
SERVICES = HOW_TO / "run-on-postgresql-and-redis.md"
STEP = HOW_TO / "write-a-processing-step.md"
SCANNER = HOW_TO / "scan-for-malware.md"
TRASH = HOW_TO / "undo-a-delete.md"
WEBHOOKS = HOW_TO / "receive-webhooks.md"

RUN = {"bash", "python", "js"}
#: What begins a block's output in a session's; no example prints it.
MARK = "\x1e"

Replacements = Mapping[str, str]


def has_examples(page: Path) -> bool:
    return any(fence.language in RUN for fence in fences(page))


OWN = {BUCKET, CREDENTIALS, DJANGO, GRAPH, ENCRYPTION, MODELS, MOVE, SCANNER, SERVICES, STEP, STORAGE, TRASH, WEBHOOKS}
#: Pages that any server can play; the others need one of their own, and have a test of their own.
PLAIN = [page for page in markdown_pages.pages() if has_examples(page) and page not in OWN]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where a reader stands: with a few files, and the packages that npm installed."""
    here = tmp_path / "reader"
    here.mkdir()
    (here / "photo.jpg").write_bytes(samples.jpeg())
    (here / "report.pdf").write_bytes(samples.pdf())
    (here / "big.iso").write_bytes(random.Random(1).randbytes(3_000_000))
    (here / "node_modules").symlink_to(INTEROP)
    return here


@pytest.mark.parametrize("page", PLAIN, ids=markdown_pages.name)
def test_blocks_of_each_page_print_what_the_page_shows(
    page: Path, shared_server: ServerProcess, directory: Path
) -> None:
    run(page, directory, shared_server.home, {ADDRESS: at(shared_server)})


def test_credentials(make_server: Callable[..., ServerProcess], directory: Path) -> None:
    server = make_server(AUTH_MODE="required")
    run(CREDENTIALS, directory, server.home, {ADDRESS: at(server)})


@pytest.fixture(scope="module")
def optional_parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with what some pages ask their readers to switch on, and nothing that changes other pages' output."""
    settings = {"GRAPH": "rules", "TRASH_HOURS": "72", "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1"}
    server = ServerProcess(tmp_path_factory.mktemp("optional") / "home", **settings)
    server.start()
    yield server
    server.kill()


def test_graph(optional_parts: ServerProcess, directory: Path) -> None:
    run(GRAPH, directory, optional_parts.home, {ADDRESS: at(optional_parts)})


def test_django_project(directory: Path) -> None:
    port = str(free_port())
    run(DJANGO, directory, None, {ADDRESS: f"127.0.0.1:{port}", "--port 8000": f"--port {port}"})


def test_files_in_models(directory: Path) -> None:
    run(MODELS, directory, None, {ADDRESS: "unused"})


def test_postgresql_and_redis(postgres: str, redis: str, directory: Path) -> None:
    port = str(free_port())
    theirs = {
        "postgres://windlass:secret@db.example.org/windlass": postgres,
        "redis://redis.example.org/0": redis,
        ADDRESS: f"127.0.0.1:{port}",
        "--port 8000": f"--port {port}",
    }
    run(SERVICES, directory, directory / "home", theirs)


def test_bucket(s3_server: services.S3Server, directory: Path) -> None:
    port = str(free_port())
    theirs = {
        "windlass-files": s3_server.new_bucket(),
        "https://s3.example.org": s3_server.url,
        "AKIDEXAMPLE": s3_server.ACCESS,
        "wJalrXUtnFEMI": f"'{s3_server.SECRET}'",
        "eu-central-1": "us-east-1",
        ADDRESS: f"127.0.0.1:{port}",
        "--port 8000": f"--port {port}",
    }
    migrated_home.prepare(directory / "home")
    run(BUCKET, directory, directory / "home", theirs)


def test_django_storage(sftp_server: services.Sftp, directory: Path) -> None:
    port = str(free_port())
    theirs = {
        "sftp.example.org": "127.0.0.1",
        '"username": "windlass"': f'"username": "{getpass.getuser()}", "port": {sftp_server.port}',
        "/etc/windlass/id_ed25519": str(sftp_server.key),
        "/etc/windlass/known_hosts": str(directory / "known_hosts"),
        "/srv/files": str(directory / "files"),
        ADDRESS: f"127.0.0.1:{port}",
        "--port 8000": f"--port {port}",
    }
    migrated_home.prepare(directory / "home")
    run(STORAGE, directory, directory / "home", theirs)


def test_encryption(directory: Path) -> None:
    port = str(free_port())
    theirs = {ADDRESS: f"127.0.0.1:{port}", "--port 8000": f"--port {port}"}
    migrated_home.prepare(directory / "windlass-data")
    run(ENCRYPTION, directory, directory / "windlass-data", theirs)


def test_moving(server: ServerProcess, directory: Path) -> None:
    """Its rows name a store that is in no settings but the page's."""
    run(MOVE, directory, server.home, {ADDRESS: at(server)})


def test_processing_step(make_server: Callable[..., ServerProcess], directory: Path) -> None:
    installed(STEP, directory)
    server = make_server(PYTHONPATH=str(directory))
    run(STEP, directory, server.home, {ADDRESS: at(server)})


def test_scanner(make_server: Callable[..., ServerProcess], directory: Path) -> None:
    installed(SCANNER, directory)
    known = directory / "known-malware.txt"
    known.write_text(hashlib.sha256(b"known to be bad\n").hexdigest())
    server = make_server(PYTHONPATH=str(directory), SCANNER="known_digests", KNOWN_MALWARE=str(known))
    run(SCANNER, directory, server.home, {ADDRESS: at(server)})


def test_trash(optional_parts: ServerProcess, directory: Path) -> None:
    run(TRASH, directory, optional_parts.home, {ADDRESS: at(optional_parts)})


def test_webhooks(optional_parts: ServerProcess, directory: Path) -> None:
    run(WEBHOOKS, directory, optional_parts.home, {ADDRESS: at(optional_parts), "9000": str(free_port())})


def installed(page: Path, directory: Path) -> None:
    """The package that a page writes, as `pip install .` would leave it: the module, and the entry points beside it."""
    for fence in fences(page):
        if "file" in fence.options:
            (directory / fence.options["file"]).write_text(fence.text)
    project = tomllib.loads((directory / "pyproject.toml").read_text())["project"]
    described = directory / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = ConfigParser()
    points.read_dict(project["entry-points"])
    with (described / "entry_points.txt").open("w") as target:
        points.write(target)


@pytest.fixture
def documented_nginx(monkeypatch: pytest.MonkeyPatch) -> str:
    """The program; ``services.nginx`` runs it with the page's server block, on a free port."""
    (block,) = (fence.text for fence in fences(NGINX) if fence.language == "nginx")
    assert f"http://{ADDRESS}" in block
    for written, meant in (("listen 80;", "listen 127.0.0.1:{port};"), (f"http://{ADDRESS}", "{upstream}")):
        block = block.replace(written, meant)
    block = re.sub(r"\{(?!port|upstream)|(?<!port)(?<!upstream)\}", lambda brace: brace[0] * 2, block)
    # What `services.nginx` asks for to know that it is up.
    block = block.replace("location /", "location = /nginx-is-up {{ return 204; }}\n    location /", 1)
    head, _, _ = services.NGINX_CONFIGURATION.partition("server {{")
    monkeypatch.setattr(services, "NGINX_CONFIGURATION", head + block + "}}\n")
    return require(services.find_nginx(), "nginx is not installed")


def test_nginx_passes_no_forwarded_field_of_a_client_on(documented_nginx: str) -> None:
    """From the proxy each of them is believed."""

    class Echo(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = str(self.headers).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    claimed = {f"X-Forwarded-{name}": "/evil" for name in ("For", "Proto", "Host", "Port", "Prefix")}
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as upstream:
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        with services.nginx(documented_nginx, f"http://127.0.0.1:{upstream.server_port}") as url:
            seen = httpx.get(url, headers=claimed | {"Forwarded": "for=/evil;host=/evil"}).text
        upstream.shutdown()
    assert "X-Forwarded-For: 127.0.0.1" in seen
    assert "evil" not in seen


def test_nginx(shared_server: ServerProcess, documented_nginx: str) -> None:
    """A body larger than nginx takes by itself goes through."""
    with services.nginx(documented_nginx, shared_server.url) as url:
        body = os.urandom(2_000_000)
        sent = httpx.put(f"{url}/files/proxied.bin", content=body, headers={"Host": "127.0.0.1"}, timeout=30)
        assert sent.status_code == 201, sent.text
        assert sent.json()["size"] == len(body)
        # An upload's metadata goes both ways through it, however much of it a request may bring.
        said = f"filename YS5iaW4=,note {'QUJD' * 4000}"
        fields = {"Host": "127.0.0.1", "Tus-Resumable": "1.0.0"}
        created = httpx.post(f"{url}/files/", headers=fields | {"Upload-Length": "3", "Upload-Metadata": said})
        assert created.status_code == 201, created.text
        path = urlsplit(created.headers["Location"]).path
        assert httpx.head(f"{url}{path}", headers=fields).headers["Upload-Metadata"] == said
        many = [
            *fields.items(),
            ("Upload-Length", "3"),
            *(("Upload-Metadata", f"k{n} {'QUJD' * 3000}") for n in range(4)),
        ]
        created = httpx.post(f"{url}/files/", headers=many)
        assert created.status_code == 201, created.text
        path = urlsplit(created.headers["Location"]).path
        assert len(httpx.head(f"{url}{path}", headers=fields).headers["Upload-Metadata"]) > 48_000
        with connect(url.replace("http", "ws", 1) + "/ws/events?since=0", proxy=None) as events:
            assert json.loads(events.recv(30))["id"]


def run(page: Path, directory: Path, home: Path | None, replacements: Replacements) -> None:
    """Play a page. Fails with the block that ended the session, or printed something else."""
    require(shutil.which("curl"), "curl is not installed")
    blocks = list(fences(page))
    if any(fence.language == "js" for fence in blocks):
        require(shutil.which("node") and INTEROP.is_dir(), "Node or the packages of tests/interop are not installed")
    script, expected = session(blocks, directory, replacements)
    output, errors = directory.with_name("session.out"), directory.with_name("session.err")
    with output.open("wb") as said, errors.open("wb") as complained:
        # To a file: what an example leaves running in the background would hold a pipe open.
        result = subprocess.run(
            ["bash", "-c", script],
            cwd=directory,
            env=environment(directory, home, replacements),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=complained,
            timeout=SESSION_SECONDS,
        )
    text = output.read_text(errors="replace")
    told = f"{text.replace(MARK, '>>> ')}\n{errors.read_text(errors='replace')}"
    assert result.returncode == 0, f"{markdown_pages.name(page)}: the last block failed\n{told}"
    printed = text.split(MARK)[1:]
    assert len(printed) == len(expected)
    for found, wanted in zip(printed, expected, strict=True):
        assert wanted is None or matches(found, wanted), (
            f"{markdown_pages.name(page)} says\n{wanted}\nand it is\n{found}"
        )


def session(blocks: Sequence[Fence], directory: Path, replacements: Replacements) -> tuple[str, list[str | None]]:
    """The page as one script, and the expected output of each block (None if the page shows none)."""
    script = ["set -euo pipefail", "trap 'jobs -p | xargs -r kill; wait' EXIT"]
    expected: list[str | None] = []
    for number, fence in enumerate(blocks):
        if fence.language == "output":
            assert expected, "an output comes after a block that is run"
            expected[-1] = fence.text
        elif fence.options:
            script.append(write(fence, number, directory, replacements))
        elif fence.language in RUN:
            expected.append(None)
            script += [f"printf '{MARK}'", command(fence, number, directory, replacements)]
    return "\n".join(script), expected


def command(fence: Fence, number: int, directory: Path, replacements: Replacements) -> str:
    text = replaced(fence.text, replacements)
    if fence.language == "bash":
        return text
    suffix, program = {"python": ("py", "python"), "js": ("mjs", "node")}[fence.language]
    path = directory / f"example-{number}.{suffix}"
    path.write_text(text)
    return f"{program} {path.name}"


def write(fence: Fence, number: int, directory: Path, replacements: Replacements) -> str:
    """A command that makes the file that the block names, or adds to it."""
    ((kind, path),) = fence.options.items()
    part = directory / f".{number}-{path.replace('/', '-')}"
    part.write_text(replaced(fence.text, replacements))
    return f"cat {part.name} {'>>' if kind == 'add' else '>'} {path}"


def environment(directory: Path, home: Path | None, replacements: Replacements) -> dict[str, str]:
    """A reader's shell: nothing of ours but the programs, and curl that fails where a call was refused."""
    foreign = (
        "WINDLASS_",
        "DJANGO_",
        "ENCRYPTION_",
        "DATABASE_URL",
        "CELERY_",
        "AUTH_MODE",
        "AWS_",
        "STORAGE_",
        "HOST",
        "PORT",
        "XDG_",
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    (directory / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    return (
        inherited
        | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(directory),
            "CURL_HOME": str(directory),
            "PYTHONUNBUFFERED": "1",
            "WINDLASS_SERVER": f"http://{replacements[ADDRESS]}",
        }
        | ({"WINDLASS_HOME": str(home)} if home else {})
    )


def replaced(text: str, replacements: Replacements) -> str:
    for documented, real in replacements.items():
        text = text.replace(documented, real)
    return text


def matches(found: str, wanted: str) -> bool:
    """Line by line at the end of what was printed, `…` standing for anything."""
    pattern = "[\\s\\S]*?".join(re.escape(part) for part in wanted.strip().split("…"))
    return re.search(rf"^{pattern}\s*\Z", found, re.MULTILINE) is not None


def at(server: ServerProcess) -> str:
    return f"127.0.0.1:{server.port}"
