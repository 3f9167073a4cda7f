"""Every setting of Windlass, typed, with its default and what it does.

``docs/reference/settings.md`` is made of this.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from windlass.conf.reader import BadSetting, setting
from windlass.kernel import secret_keys

MB = 1024 * 1024
#: What windlass.settings can make a database of.
DATABASE_SCHEMES = ("postgres", "postgresql", "pgsql", "sqlite")
#: Celery's transports.
BROKER_SCHEMES = (
    *("amqp", "amqps", "pyamqp", "librabbitmq", "redis", "rediss", "sentinel", "sqs", "memory", "filesystem"),
    *("confluentkafka", "kafka", "mongodb", "zookeeper", "sqlalchemy", "sqla", "qpid", "consul", "etcd", "pyro"),
    *("azurestoragequeues", "azureservicebus", "gcpubsub", "slmq", "hazelcast", "windlass"),
)
_CLAMD = re.compile(r"tcp://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})|unix:///.+")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9.\-\[\]:]+")


def _positive(value: float | None) -> str | None:
    return None if value is None or value > 0 else "it must be greater than 0"


def _not_negative(value: float) -> str | None:
    return None if value >= 0 else "it must not be negative"


def _at_least_32(value: int) -> str | None:
    return None if value >= 32 else "it must be at least 32: one chunk in JSON takes 24"


def _origins(value: tuple[str, ...]) -> str | None:
    wrong = [each for each in value if each != "*" and not _ORIGIN.fullmatch(each)]
    return f"{wrong[0]!r} is no origin: scheme://host or scheme://host:port, in lower case" if wrong else None


def _networks(value: tuple[str, ...]) -> str | None:
    for each in value:
        try:
            _ = each == "*" or ipaddress.ip_network(each, strict=False)
        except ValueError:
            return f"{each!r} is neither an address nor a network"
    return None


def _path(value: str) -> str | None:
    good = not value or re.fullmatch(r"(?:/[A-Za-z0-9._~-]+)+", value)
    return None if good else "it must begin with a slash and end without one"


def _clamd(value: str) -> str | None:
    found = _CLAMD.fullmatch(value)
    good = not value or (found and 0 < int(found["port"] or 1) < 65536)
    return None if good else "it must be tcp://host:port or unix:///path"


def _url(value: str) -> str | None:
    good = not value or re.fullmatch(r"https?://[^/?#@\s]+(/[^?#\s]*)?", value)
    return None if good else "it must be an address such as https://s3.example.org"


def _prefix(value: str) -> str | None:
    good = not value or re.fullmatch(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*/?", value)
    return None if good and ".." not in value.split("/") else "it must be names separated by slashes"


def _part_size(value: int) -> str | None:
    return None if 5 <= value <= 512 else "it must be from 5 to 512"


def _max_parts(value: int) -> str | None:
    return None if 1 <= value <= 10_000 else "it must be from 1 to 10000"


def _check_object(name: str, text: str) -> None:
    """Likewise: it may hold passwords."""
    try:
        found = json.loads(text or "{}")
    except (TypeError, ValueError) as error:
        raise BadSetting(f"{name} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadSetting(f'{name} must be a JSON object, such as {{"location": "/srv/files"}}')


def _check_keys(name: str, keys: Sequence[str]) -> None:
    """Not as the field's own check, which would repeat the key in its message. Raises BadSetting."""
    for key in keys:
        try:
            secret_keys.parsed(key)
        except ValueError as error:
            raise BadSetting(f"{name}: {error}") from None


def _check_database_url(url: str) -> None:
    """Its messages do not repeat the URL, which may hold a password. Raises BadSetting."""
    if not url:
        return
    scheme = url.partition(":")[0].lower()
    if scheme not in DATABASE_SCHEMES or "://" not in url:
        raise BadSetting(
            f"DATABASE_URL begins with {scheme[:20]!r}{_nearest(scheme, DATABASE_SCHEMES)}: it must be "
            "postgres://user:password@host:5432/name, or sqlite:////path/of/a/file"
        )
    try:
        found = urlsplit(url)
        named = bool(found.path.strip("/")) and (found.port or 1) > 0
    except ValueError:
        named = False
    if not named:
        raise BadSetting(
            "DATABASE_URL names no database, or cannot be read: it must be postgres://user:password@host:5432/name, or "
            "sqlite:////path/of/a/file. Characters such as / # ? [ ] @ in a user name or password are "
            "percent-encoded"
        )


def _check_broker_url(url: str) -> None:
    """Likewise. Several brokers are separated by semicolons, as Celery has it."""
    for each in filter(None, url.split(";")):
        scheme = each.partition(":")[0].lower()
        if scheme.partition("+")[0] not in BROKER_SCHEMES or "://" not in each:
            raise BadSetting(
                f"CELERY_BROKER_URL begins with {scheme[:20]!r}{_nearest(scheme, BROKER_SCHEMES)}: it must be the URL "
                "of a broker that Celery knows, such as redis://host:6379/0 or amqp://user:password@host//"
            )
        try:
            _ = urlsplit(each).port
        except ValueError:
            raise BadSetting(
                "CELERY_BROKER_URL cannot be read: its port is no number, or its user name or password has characters "
                "that must be percent-encoded, such as / # ? [ ] @"
            ) from None


def _nearest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near and near[0] != word else ""


def _absolute(value: Any) -> Path:
    return Path(value).expanduser().absolute()


@dataclass(frozen=True, slots=True)
class Settings:
    """What this process runs with. Sizes are bytes unless the name ends in ``_MB`` (2^20); times are seconds."""

    # Where things are
    windlass_home: Path = setting(
        lambda: _absolute("windlass-data"), "Directory of everything that the server keeps on this machine."
    )
    windlass_profiles: Path | None = setting(None, "TOML file with the upload profiles; without it the built-in ones.")
    database_url: str = setting("", "Database, as a URL. Empty: SQLite in the home directory.")
    storage_backend: Literal["local", "s3", "django"] = setting(
        "local",
        "Where file bytes are kept: on this machine, in a bucket of Amazon S3 or anything like it, or in a storage of "
        "Django's.",
    )
    windlass_stores: Path | None = setting(
        None, "TOML file with further stores of file bytes, which profiles name by `store`."
    )
    default_store: str = setting(
        "", "The store of profiles that name none: one of WINDLASS_STORES. Empty: that of STORAGE_BACKEND."
    )
    media_root: Path | None = setting(None, "Directory of the local store. Empty: `media` in the home directory.")
    media_url: str = setting("", "Base of download and rendition links, where they go to another origin or a CDN.")
    # The bucket of STORAGE_BACKEND=s3
    aws_storage_bucket_name: str = setting("", "Bucket that files are kept in.")
    aws_access_key_id: str = setting("", "Key id. Empty: what the machine's role or the AWS files of this user give.")
    aws_secret_access_key: str = setting("", "Secret of that key.")
    aws_session_token: str = setting("", "Token of a key that is for some hours only.")
    aws_s3_region_name: str = setting("", "Region of the bucket. Empty: AWS's own settings, else `us-east-1`.")
    aws_s3_endpoint_url: str = setting(
        "", "Address of a store other than Amazon's, such as `https://s3.example.org`.", check=_url
    )
    aws_s3_public_endpoint_url: str = setting(
        "", "Address of the same store for clients, where it is another one; downloads are sent there.", check=_url
    )
    aws_s3_addressing_style: Literal["auto", "path", "virtual"] = setting(
        "auto", "Whether the bucket is named in the path or in the host name of a request."
    )
    aws_location: str = setting("", "Prefix of every key, where the bucket holds other things too.", check=_prefix)
    aws_s3_part_size_mb: int = setting(
        8,
        "Size of the parts that an object is sent in, 5 at least. Larger for files that would have too many of these.",
        check=_part_size,
    )
    aws_s3_max_parts: int = setting(
        10_000,
        "Parts that the store allows one object to have, at most 10,000. Fewer for stores that say so: parts become "
        "larger where a file needs it.",
        check=_max_parts,
    )
    aws_s3_buffer_mb: int = setting(
        64, "Bytes that all uploads of one process together hold in memory until a part is full.", check=_positive
    )
    aws_s3_checksum: Literal["crc32", "md5"] = setting(
        "crc32", "What the store proves each part by. md5: for stores that do not know the newer checksums."
    )
    aws_s3_forms: bool = setting(
        True,
        "Whether the store takes presigned forms (POST), in which browsers send small files straight to it. Without, "
        "such files go through this server.",
    )
    aws_s3_server_side_encryption: Literal["", "aes256", "aws:kms"] = setting(
        "", "Encryption at rest that the store is asked for with each object. Empty: as the bucket is set."
    )
    aws_s3_kms_key_id: str = setting("", "Key for `aws:kms`. Empty: the account's default key.")
    aws_s3_timeout_seconds: float = setting(20.0, "How long the store may be silent in one request.", check=_positive)
    aws_s3_max_attempts: int = setting(
        4, "How often a request that failed on the store's side is sent.", check=_positive
    )
    # The storage of STORAGE_BACKEND=django
    django_storage: str = setting(
        "",
        "The storage: the dotted path of its class, such as `storages.backends.sftpstorage.SFTPStorage`, or inside "
        "another project an alias of its `STORAGES`.",
    )
    django_storage_options: str = setting("", "What the class is made with, as a JSON object.")
    django_storage_staging: Path | None = setting(
        None,
        "Directory of uploads under way. On the file system of the storage's own directory, where it has one, nothing "
        "is copied. Empty: `staging` in the home directory.",
    )
    # Encryption at rest, of STORAGE_BACKEND=local and django
    encryption_key: str = setting(
        "", "Key that new files are encrypted under, as `windlass encryption-key` makes it. Empty: they are not."
    )
    encryption_old_keys: tuple[str, ...] = setting(
        (), "Keys that files were encrypted under before; they can still be read."
    )
    start_wait_seconds: float = setting(
        60.0,
        "How long a process or command that starts waits for a database or broker that does not answer yet.",
        check=_not_negative,
    )
    # Jobs
    celery_broker_url: str = setting(
        "", "Celery broker, as a URL. Empty: the embedded one, a directory in the home directory."
    )
    celery_task_always_eager: bool = setting(
        False, "Run jobs inside the call that makes them, for other people's tests."
    )
    worker_concurrency: int = setting(2, "Jobs that one worker process runs at a time.", check=_positive)
    job_lease_seconds: float = setting(
        30.0, "How long a claimed job stays claimed without a heartbeat.", check=_positive
    )
    job_max_attempts: int = setting(5, "Attempts before a job becomes a dead letter.", check=_positive)
    job_backoff_seconds: float = setting(
        2.0, "Wait after the first failed attempt; it doubles each time.", check=_positive
    )
    sweep_seconds: float = setting(5.0, "How often the scheduler looks for what no bell announced.", check=_positive)
    step_timeout_seconds: float = setting(120.0, "Wall-clock limit of one isolated processing step.", check=_positive)
    long_step_timeout_seconds: float = setting(
        3600.0, "The same limit for a long step, such as one that converts a video.", check=_positive
    )
    long_step_output_mb: int = setting(2048, "What a long step may make, in MB; any other 64 MB.", check=_positive)
    step_memory_mb: int = setting(
        1536, "Address space that a file's isolated steps may take beside their libraries, in MB.", check=_positive
    )
    sandbox: Literal["require", "best-effort", "off"] = setting(
        "best-effort",
        "Landlock and seccomp around steps. require: both, or no start; best-effort: what there is; off: neither.",
    )
    dead_job_retention_days: float = setting(30.0, "How long dead letters are kept.", check=_positive)
    # Scanning for malware
    clamav_url: str = setting(
        "",
        "ClamAV's clamd: `tcp://host:3310` or `unix:///run/clamav/clamd.ctl`. Empty: no scan, unless SCANNER is set.",
        check=_clamd,
    )
    clamav_timeout_seconds: float = setting(120.0, "How long the scan of one file may take.", check=_positive)
    clamav_max_size_mb: int = setting(
        25,
        "Largest file that clamd reads whole, in MB: the least of its `StreamMaxLength`, `MaxFileSize`, `MaxScanSize`. "
        "A larger one counts as not scanned.",
        check=_positive,
    )
    scanner: str = setting(
        "", "The scanner, by its entry point of `windlass.scanners`. Empty: `clamd` with CLAMAV_URL."
    )
    # When a part is away
    breaker_failure_threshold: int = setting(
        5, "Failures in a row after which a part that is away is left alone for a while.", check=_positive
    )
    breaker_success_threshold: int = setting(
        2, "Trials in a row that must succeed before it is used as before.", check=_positive
    )
    breaker_recovery_seconds: float = setting(30.0, "How long it is left alone before a trial.", check=_positive)
    breaker_scanner_failure_threshold: int | None = setting(
        None, "BREAKER_FAILURE_THRESHOLD for the malware scanner alone.", check=_positive
    )
    breaker_scanner_success_threshold: int | None = setting(
        None, "BREAKER_SUCCESS_THRESHOLD for the malware scanner alone.", check=_positive
    )
    breaker_scanner_recovery_seconds: float | None = setting(
        None, "BREAKER_RECOVERY_SECONDS for the malware scanner alone.", check=_positive
    )
    # What may come in
    max_upload_size: int = setting(
        0, "Largest file, for profiles with no limit of their own. 0: MAX_FILE_SIZE_MB.", check=_not_negative
    )
    max_file_size_mb: int = setting(
        5 * 1024, "The same limit in MB, used where MAX_UPLOAD_SIZE is not set.", check=_positive
    )
    max_files_per_upload: int = setting(10, "Files in one multipart form.", check=_positive)
    max_total_upload_size: int = setting(
        0, "Bytes of all files of one form together. 0: no limit of its own.", check=_not_negative
    )
    allowed_mime_types: tuple[str, ...] = setting((), "Detected types that may come in (`image/*` works). Empty: all.")
    blocked_mime_types: tuple[str, ...] = setting((), "Detected types that are refused.")
    allowed_extensions: tuple[str, ...] = setting((), "File name extensions that may come in. Empty: all.")
    quota_bytes: int = setting(
        0, "Bytes that each owner may store, uploads under way included. 0: no limit.", check=_not_negative
    )
    quota_files: int = setting(0, "Likewise the number of files whose bytes are kept.", check=_not_negative)
    verify_every_days: float = setting(
        0.0, "How often each stored file is read and compared with its SHA-256. 0: not by itself.", check=_not_negative
    )
    verify_mb_per_second: float = setting(
        20.0, "How fast that reads at most, in MB, for each scheduler. 0: as fast as it can.", check=_not_negative
    )
    disk_reserve_mb: int = setting(
        512, "New uploads are refused while less than this is free on the store's disk, in MB.", check=_not_negative
    )
    # Receiving
    durability: Literal["strict", "complete", "os"] = setting(
        "strict",
        "strict: every acknowledged byte is synced; complete: synced when whole; os: left to the operating system.",
    )
    checkpoint_bytes: int = setting(
        64 * MB, "A running upload's offset is made durable at least this often.", check=_positive
    )
    checkpoint_seconds: float = setting(5.0, "Likewise, in seconds.", check=_positive)
    receive_timeout: float = setting(
        60.0, "A client that sends nothing for this long is cut off; its bytes are kept.", check=_positive
    )
    complete_wait_seconds: float = setting(
        20.0,
        "How long completing an upload in chunks waits for the digest of the whole before it answers 202.",
        check=_not_negative,
    )
    media_wait_seconds: float = setting(
        20.0,
        "How long the media API waits for a file's facts and thumbnail before it answers PROCESSING.",
        check=_not_negative,
    )
    upload_ttl_hours: float = setting(24.0, "Life of an unfinished upload since its last byte.", check=_positive)
    session_retention_hours: float = setting(24.0, "How long ended uploads are remembered.", check=_not_negative)
    trash_hours: float = setting(
        0.0,
        "How long a deleted file can be restored, for profiles that do not say. 0: not at all.",
        check=_not_negative,
    )
    # Limits of connections and requests
    max_request_line_bytes: int = setting(
        8 * 1024, "Longest request line (method, address and version); a longer one is 414.", check=_positive
    )
    max_header_line_bytes: int = setting(16 * 1024, "Longest header line; a longer one is 431.", check=_positive)
    max_header_bytes: int = setting(64 * 1024, "Request line and header lines together; more is 431.", check=_positive)
    max_header_lines: int = setting(100, "Header lines of one request; more is 431.", check=_positive)
    head_timeout: float = setting(
        10.0,
        "How long the head of a request may take, from the connection or, on a connection that goes on, from its first "
        "byte.",
        check=_positive,
    )
    keep_alive_timeout: float = setting(
        15.0, "How long a connection may be idle between two requests.", check=_positive
    )
    min_receive_rate: int = setting(
        256,
        "Bytes a second that a client must send of a body on average; RECEIVE_TIMEOUT is what it may fall behind. 0: "
        "only silence counts.",
        check=_not_negative,
    )
    send_timeout: float = setting(
        60.0, "A client that takes nothing of a reply for this long is cut off.", check=_positive
    )
    min_send_rate: int = setting(
        256,
        "Bytes a second that a client must take of a reply that waits for it, on average; SEND_TIMEOUT is what it may "
        "fall behind. 0: only silence counts.",
        check=_not_negative,
    )
    max_connections: int = setting(
        4000,
        "Open connections of one web process; more are 503. Fewer where the system allows the process few open files.",
        check=_positive,
    )
    max_connections_per_address: int = setting(
        512,
        "Open connections from one address; more are 503. Behind TRUSTED_PROXIES: running requests of one client.",
        check=_positive,
    )
    memory_in_flight_mb: int = setting(
        128,
        "Memory that bodies, JSON and replies on their way to slow clients may take in one web process, in MB, beside "
        "up to half a MB for each connection.",
        check=_at_least_32,
    )
    # Handing out
    sendfile: Literal["off", "x-accel-redirect", "x-sendfile"] = setting(
        "off",
        "Let the proxy in front send local files: by nginx's field, or by the one of Apache and others.",
    )
    sendfile_root: str = setting(
        "/windlass-media",
        "x-accel-redirect: the internal location that stands for the media directory.",
        check=_path,
    )
    downloads: Literal["auto", "redirect", "proxy"] = setting(
        "auto",
        "redirect: clients are sent to the store, where it can be fetched from; proxy: bytes go through this server; "
        "auto: redirect to Amazon S3 and to AWS_S3_PUBLIC_ENDPOINT_URL, else proxy.",
    )
    upload_url_seconds: int = setting(
        900, "Life of a signed URL by which a browser sends bytes straight to the bucket.", check=_positive
    )
    signed_url_seconds: int = setting(3600, "Default life of a signed download URL.", check=_positive)
    event_retention_days: float = setting(30.0, "How long events are kept.", check=_positive)
    # Who may
    auth_mode: Literal["open", "required", "token"] = setting(
        "open", "open: no credential needed, on loopback only; required (or token): every call needs one."
    )
    metrics_token: str = setting("", "Bearer token that may read `/metrics`, besides staff.")
    # Django
    secret_key: str = setting(
        "",
        "Signs sessions and download URLs. At least 32 characters. Empty: made once and kept in the home directory.",
    )
    debug: bool = setting(False, "Django's debug pages. Never on a public address.")
    allowed_hosts: tuple[str, ...] = setting(
        ("localhost", "127.0.0.1", "[::1]"), "Host names this server answers to. `*`: any."
    )
    csrf_trusted_origins: tuple[str, ...] = setting((), "Origins whose unsafe requests may carry a session cookie.")
    secure_cookies: bool = setting(
        False,
        "Mark every cookie Secure, so that browsers send it over TLS only. Without it, those of requests that came "
        "over TLS, as a proxy of TRUSTED_PROXIES says: set it where the proxy does not say.",
    )
    hsts_seconds: int = setting(
        0,
        "Tell browsers to use TLS alone for this host for so long (`Strict-Transport-Security`), in replies to "
        "requests over TLS. 0: not told. 31536000 is a year.",
        check=_not_negative,
    )
    hsts_include_subdomains: bool = setting(False, "The same for all hosts below this one. Needs HSTS_SECONDS.")
    # Behind a proxy, beside other origins
    cors_allowed_origins: tuple[str, ...] = setting(
        (), "Origins whose pages may call everything here, such as `https://app.example.org`. `*`: any.", check=_origins
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        "Addresses or networks of proxies whose `X-Forwarded-*` and `Forwarded` fields are believed. `*`: any.",
        check=_networks,
    )
    root_path: str = setting(
        "", "Path below which a proxy serves this server, such as `/upload`. Links begin with it.", check=_path
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting("info", "Least level that is logged.")

    def __post_init__(self) -> None:
        if self.hsts_include_subdomains and not self.hsts_seconds:
            raise BadSetting("HSTS_INCLUDE_SUBDOMAINS does nothing without HSTS_SECONDS: set both or neither")
        if self.storage_backend == "django" and not self.django_storage:
            raise BadSetting("DJANGO_STORAGE is not set: STORAGE_BACKEND=django needs a storage")
        _check_object("DJANGO_STORAGE_OPTIONS", self.django_storage_options)
        if self.storage_backend == "s3" and not self.aws_storage_bucket_name:
            raise BadSetting("AWS_STORAGE_BUCKET_NAME is not set: STORAGE_BACKEND=s3 needs a bucket")
        _check_database_url(self.database_url)
        _check_broker_url(self.celery_broker_url)
        _check_keys("ENCRYPTION_KEY", [self.encryption_key] if self.encryption_key else [])
        _check_keys("ENCRYPTION_OLD_KEYS", self.encryption_old_keys)
        if self.storage_backend == "s3" and bool(self.aws_access_key_id) != bool(self.aws_secret_access_key):
            raise BadSetting("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are set together or not at all")

    @property
    def upload_limit(self) -> int:
        """Largest file in bytes, for profiles that name no limit of their own."""
        return self.max_upload_size or self.max_file_size_mb * MB

    @property
    def scanner_name(self) -> str:
        """The entry point of the malware scanner; empty where none is set."""
        return self.scanner or ("clamd" if self.clamav_url else "")

    def breaker(self, name: str) -> tuple[int, int, float]:
        """Failure threshold, success threshold and recovery seconds of the breaker of this name."""
        return (
            getattr(self, f"breaker_{name}_failure_threshold", None) or self.breaker_failure_threshold,
            getattr(self, f"breaker_{name}_success_threshold", None) or self.breaker_success_threshold,
            getattr(self, f"breaker_{name}_recovery_seconds", None) or self.breaker_recovery_seconds,
        )

    @property
    def media_directory(self) -> Path:
        return _absolute(self.media_root or self.windlass_home / "media")

    @property
    def staging_directory(self) -> Path:
        return _absolute(self.django_storage_staging or self.windlass_home / "staging")

    @property
    def credentials_required(self) -> bool:
        return self.auth_mode != "open"
