"""Every setting of Windlass, with its type, default and description. ``docs/reference/settings.md`` is made of this."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from windlass.conf import validators as valid
from windlass.conf.reader import BadSetting, setting

MB = 1024 * 1024


def _absolute(value: Any) -> Path:
    return Path(value).expanduser().absolute()


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of this process. Sizes are bytes unless the name ends in ``_MB`` (2^20); times are seconds."""

    def __hash__(self) -> int:
        """Caches by settings are read several times for each request: equal settings have these fields in common, and
        to hash all fields takes twenty times as long."""
        return hash((self.windlass_home, self.database_url))

    # Paths, database and stores
    windlass_home: Path = setting(
        lambda: _absolute("windlass-data"), "Directory of everything that the server stores on this machine."
    )
    windlass_profiles: Path | None = setting(
        None, "TOML file with the upload profiles. Without it the built-in profiles are used."
    )
    database_url: str = setting(
        "", "Database URL. Empty: SQLite in the home directory.", check=valid.database_url, secret=True
    )
    start_wait_seconds: float = setting(
        60.0,
        "How long a process or command waits at its start for a database or broker that does not answer yet.",
        check=valid.not_negative,
    )
    storage_backend: Literal["local", "s3", "django"] = setting(
        "local",
        "Where file bytes are stored: `local` is a directory of this machine, `s3` a bucket of Amazon S3 or a "
        "compatible store, `django` a Django storage.",
    )
    windlass_stores: Path | None = setting(
        None, "TOML file with additional stores of file bytes. Profiles refer to them by `store`."
    )
    default_store: str = setting(
        "", "Store for profiles that name none: the name of a store in WINDLASS_STORES. Empty: that of STORAGE_BACKEND."
    )
    media_root: Path | None = setting(None, "Directory of the local store. Empty: `media` in the home directory.")
    media_url: str = setting("", "Base URL of download and rendition links, for another origin or a CDN.")
    # S3 bucket (STORAGE_BACKEND=s3)
    aws_storage_bucket_name: str = setting("", "Name of the bucket.")
    aws_access_key_id: str = setting(
        "", "Access key id. Empty: the credentials of the machine's role or of the user's AWS files."
    )
    aws_secret_access_key: str = setting("", "Secret of the access key.")
    aws_session_token: str = setting("", "Session token of a temporary access key.")
    aws_s3_region_name: str = setting("", "Region of the bucket. Empty: AWS's own settings, else `us-east-1`.")
    aws_s3_endpoint_url: str = setting(
        "", "URL of a store other than Amazon's, such as `https://s3.example.org`.", check=valid.http_url
    )
    aws_s3_public_endpoint_url: str = setting(
        "",
        "URL of the same store for clients, where it differs from AWS_S3_ENDPOINT_URL. Downloads are redirected to it.",
        check=valid.http_url,
    )
    aws_s3_addressing_style: Literal["auto", "path", "virtual"] = setting(
        "auto", "Whether requests name the bucket in the path (`path`) or in the host name (`virtual`)."
    )
    aws_location: str = setting(
        "", "Prefix of every key, where the bucket is shared with others.", check=valid.key_prefix
    )
    aws_s3_part_size_mb: int = setting(
        8,
        "Size of the parts of an upload to the bucket, at least 5. Parts are larger where a file would have more than "
        "AWS_S3_MAX_PARTS.",
        check=valid.between(5, 512),
    )
    aws_s3_max_parts: int = setting(
        10_000,
        "Most parts of one object, at most 10,000. Lower it for stores that allow fewer: parts then become larger.",
        check=valid.between(1, 10_000),
    )
    aws_s3_buffer_mb: int = setting(
        64,
        "Memory of one process for bytes that wait until their part is full, over all uploads.",
        check=valid.positive,
    )
    aws_s3_checksum: Literal["crc32", "md5"] = setting(
        "crc32", "Checksum by which the store verifies each part. md5: for stores without the newer checksums."
    )
    aws_s3_forms: bool = setting(
        True,
        "Whether the store supports presigned forms (POST), by which browsers upload small files directly to it. If "
        "false, such files are sent through this server.",
    )
    aws_s3_server_side_encryption: Literal["", "aes256", "aws:kms"] = setting(
        "", "Encryption at rest to request for each object. Empty: the bucket's default."
    )
    aws_s3_kms_key_id: str = setting("", "Key for `aws:kms`. Empty: the account's default key.")
    aws_s3_timeout_seconds: float = setting(
        20.0, "Timeout of one request to the store without any answer.", check=valid.positive
    )
    aws_s3_max_attempts: int = setting(
        4, "Attempts of a request that failed because of the store.", check=valid.positive
    )
    # Django storage (STORAGE_BACKEND=django)
    django_storage: str = setting(
        "",
        "The storage: the dotted path of its class, such as `storages.backends.sftpstorage.SFTPStorage`, or inside "
        "another project an alias of its `STORAGES`.",
    )
    django_storage_options: str = setting(
        "", "Arguments of the storage class, as a JSON object.", check=valid.json_object, secret=True
    )
    django_storage_staging: Path | None = setting(
        None,
        "Directory of unfinished uploads. If it is on the same file system as the storage's own directory, completed "
        "files are moved instead of copied. Empty: `staging` in the home directory.",
    )
    # Encryption at rest (STORAGE_BACKEND=local and django)
    encryption_key: str = setting(
        "",
        "Key that encrypts new files; `windlass encryption-key` generates one. Empty: no encryption.",
        check=valid.encryption_key,
        secret=True,
    )
    encryption_old_keys: tuple[str, ...] = setting(
        (), "Previous keys, to read the files that they encrypted.", check=valid.encryption_keys, secret=True
    )
    # Backups
    backup_encryption_key: str = setting(
        "",
        "Key that encrypts backups; `windlass encryption-key` generates one. Empty: ENCRYPTION_KEY. No backup contains "
        "it.",
        check=valid.encryption_key,
        secret=True,
    )
    backup_s3_endpoint_url: str = setting(
        "", "URL of the S3 store of backups. Empty: AWS_S3_ENDPOINT_URL.", check=valid.http_url
    )
    backup_s3_region_name: str = setting("", "Region of the bucket of backups. Empty: AWS_S3_REGION_NAME.")
    backup_s3_access_key_id: str = setting(
        "", "Access key id for the bucket of backups. Empty: that of the settings AWS_…."
    )
    backup_s3_secret_access_key: str = setting("", "Secret of that access key.", secret=True)
    # Jobs
    celery_broker_url: str = setting(
        "",
        "URL of the Celery broker. Empty: the embedded broker, a directory in the home directory.",
        check=valid.broker_url,
        secret=True,
    )
    celery_task_always_eager: bool = setting(
        False, "Run jobs within the call that enqueues them, for tests of other projects."
    )
    worker_concurrency: int = setting(2, "Jobs that one worker process runs at a time.", check=valid.positive)
    heavy_file_mb: int = setting(
        256,
        "Size from which the jobs of a file are heavy, as those with a long step are (previews of films, OCR). Heavy "
        "jobs have queues of their own (`windlass worker --queues heavy`), and a worker of all queues keeps one of its "
        "WORKER_CONCURRENCY places free of them.",
        check=valid.positive,
    )
    worker_nice: int = setting(
        10,
        "Niceness that a worker and its sandbox add to that of the process that starts them: they get little of the "
        "processor while uploads and downloads need it. On Linux their disk accesses have a low priority too. 0: the "
        "same priority as the web processes.",
        check=valid.between(0, 19),
    )
    job_lease_seconds: float = setting(
        30.0, "How long the claim of a job lasts without a heartbeat.", check=valid.positive
    )
    job_max_attempts: int = setting(5, "Attempts before a job becomes a dead letter.", check=valid.positive)
    job_backoff_seconds: float = setting(
        2.0, "Delay before the second attempt; it doubles with each further one.", check=valid.positive
    )
    dead_retry_per_minute: float = setting(
        60.0,
        "How many dead letters become due again in a minute when many are retried, so that new uploads do not wait.",
        check=valid.positive,
    )
    backfill_per_minute: float = setting(
        60.0,
        "How many backfills of postponed steps become due in a minute, so that new uploads do not wait.",
        check=valid.positive,
    )
    sweep_seconds: float = setting(
        5.0, "How often the scheduler looks for jobs that no notification announced.", check=valid.positive
    )
    step_timeout_seconds: float = setting(
        120.0, "Wall-clock limit of one isolated processing step.", check=valid.positive
    )
    long_step_timeout_seconds: float = setting(
        3600.0, "The same limit for long steps, such as converting a video.", check=valid.positive
    )
    long_step_output_mb: int = setting(
        2048, "Largest output of a long step, in MB; the limit of other steps is 64 MB.", check=valid.positive
    )
    step_memory_mb: int = setting(
        1536,
        "Address space of the isolated steps of one file in addition to their libraries, in MB.",
        check=valid.positive,
    )
    sandbox: Literal["require", "best-effort", "off"] = setting(
        "best-effort",
        "Landlock and seccomp for processing steps. require: both, or the worker does not start; best-effort: what the "
        "system supports; off: neither.",
    )
    # Malware scan
    clamav_url: str = setting(
        "",
        "ClamAV's clamd: `tcp://host:3310` or `unix:///run/clamav/clamd.ctl`. Empty: no scan, unless SCANNER is set.",
        check=valid.clamd_url,
    )
    clamav_timeout_seconds: float = setting(120.0, "Timeout of the scan of one file.", check=valid.positive)
    clamav_max_size_mb: int = setting(
        25,
        "Largest file that clamd scans completely, in MB: the least of its `StreamMaxLength`, `MaxFileSize` and "
        "`MaxScanSize`. A larger file counts as not scanned.",
        check=valid.positive,
    )
    scanner: str = setting(
        "", "Scanner, by the name of its entry point in `windlass.scanners`. Empty: `clamd` if CLAMAV_URL is set."
    )
    # Embeddings: texts as vectors, for the search by meaning
    embeddings: Literal["off", "local", "http"] = setting(
        "off",
        "Who makes vectors of texts, so that the search finds what is said in other words. local: a model in a "
        "directory of this machine (extra `search`); http: an endpoint with OpenAI's interface; off: nobody, and the "
        "search compares words only.",
    )
    embeddings_model: str = setting(
        "",
        "local: the directory with `model.onnx` and `tokenizer.json`, or the name of an installed package that holds "
        "them; http: the name of the model. After a change, run `windlass reembed`.",
    )
    embeddings_previous_model: str = setting(
        "",
        "The value of EMBEDDINGS_MODEL before, while `windlass reembed` has not ended: its vectors are searched too.",
    )
    embeddings_url: str = setting(
        "", "http: the base URL of the endpoint, such as `https://api.openai.com/v1`.", check=valid.http_url
    )
    embeddings_api_key: str = setting("", "http: the key, sent as a bearer token. Empty: none.", secret=True)
    embeddings_timeout_seconds: float = setting(
        30.0,
        "http: timeout of one request with passages. One with the query of a search has at most 3 seconds.",
        check=valid.positive,
    )
    embeddings_batch: int = setting(
        32, "Passages that are given to the model in one call.", check=valid.between(1, 1024)
    )
    embeddings_query_prefix: str = setting(
        "", "What the model expects before a query, such as `query: ` for the E5 models (with the space)."
    )
    embeddings_passage_prefix: str = setting(
        "", "What the model expects before a passage, such as `passage: ` for the E5 models."
    )
    # Circuit breakers
    breaker_failure_threshold: int = setting(
        5, "Consecutive failures of a service after which its circuit breaker opens.", check=valid.positive
    )
    breaker_success_threshold: int = setting(
        2, "Consecutive successful trials after which the circuit breaker closes.", check=valid.positive
    )
    breaker_recovery_seconds: float = setting(
        30.0, "How long the circuit breaker stays open before a trial.", check=valid.positive
    )
    breaker_scanner_failure_threshold: int | None = setting(
        None, "BREAKER_FAILURE_THRESHOLD of the malware scanner.", check=valid.positive
    )
    breaker_scanner_success_threshold: int | None = setting(
        None, "BREAKER_SUCCESS_THRESHOLD of the malware scanner.", check=valid.positive
    )
    breaker_scanner_recovery_seconds: float | None = setting(
        None, "BREAKER_RECOVERY_SECONDS of the malware scanner.", check=valid.positive
    )
    breaker_storage_failure_threshold: int | None = setting(
        None, "BREAKER_FAILURE_THRESHOLD of stores that are reached over a network.", check=valid.positive
    )
    breaker_storage_success_threshold: int | None = setting(
        None, "BREAKER_SUCCESS_THRESHOLD of stores that are reached over a network.", check=valid.positive
    )
    breaker_storage_recovery_seconds: float | None = setting(
        None, "BREAKER_RECOVERY_SECONDS of stores that are reached over a network.", check=valid.positive
    )
    breaker_webhook_failure_threshold: int | None = setting(
        None, "BREAKER_FAILURE_THRESHOLD of the targets of webhooks.", check=valid.positive
    )
    breaker_webhook_success_threshold: int | None = setting(
        None, "BREAKER_SUCCESS_THRESHOLD of the targets of webhooks.", check=valid.positive
    )
    breaker_webhook_recovery_seconds: float | None = setting(
        None, "BREAKER_RECOVERY_SECONDS of the targets of webhooks.", check=valid.positive
    )
    breaker_broker_failure_threshold: int = setting(3, "BREAKER_FAILURE_THRESHOLD of the broker.", check=valid.positive)
    breaker_broker_success_threshold: int = setting(1, "BREAKER_SUCCESS_THRESHOLD of the broker.", check=valid.positive)
    breaker_broker_recovery_seconds: float = setting(
        2.0,
        "BREAKER_RECOVERY_SECONDS of the broker. It is short, because due jobs wait for it.",
        check=valid.positive,
    )
    breaker_service_failure_threshold: int | None = setting(
        None, "BREAKER_FAILURE_THRESHOLD of services that processing steps name.", check=valid.positive
    )
    breaker_service_success_threshold: int | None = setting(
        None, "BREAKER_SUCCESS_THRESHOLD of services that processing steps name.", check=valid.positive
    )
    breaker_service_recovery_seconds: float | None = setting(
        None, "BREAKER_RECOVERY_SECONDS of services that processing steps name.", check=valid.positive
    )
    breaker_jwks_failure_threshold: int | None = setting(
        None, "BREAKER_FAILURE_THRESHOLD of JWT_JWKS_URL.", check=valid.positive
    )
    breaker_jwks_success_threshold: int = setting(1, "BREAKER_SUCCESS_THRESHOLD of JWT_JWKS_URL.", check=valid.positive)
    breaker_jwks_recovery_seconds: float | None = setting(
        None, "BREAKER_RECOVERY_SECONDS of JWT_JWKS_URL.", check=valid.positive
    )
    breaker_services: str = setting(
        "",
        'The same of single services, as a JSON object: `{"ocr": {"failure_threshold": 3, "recovery_seconds": 60}}`.',
        check=valid.service_thresholds,
    )
    # Health checks
    clock_skew_limit_seconds: float = setting(
        2.0,
        "Most difference between this machine's clock and the database's. With more, the check `clock` says so.",
        check=valid.positive,
    )
    queue_age_limit_seconds: float = setting(
        600.0,
        "How long a due job may wait for a worker. If one waits longer, the check `queue` says so.",
        check=valid.positive,
    )
    # Webhooks
    webhook_allowed_networks: tuple[str, ...] = setting(
        (),
        "Private addresses or networks that webhooks may be sent to, also by plain http. `*`: any. Public addresses "
        "are always allowed, by https.",
        check=valid.networks,
    )
    webhook_max_endpoints: int = setting(10, "Most webhooks of one owner.", check=valid.positive)
    webhook_timeout_seconds: float = setting(10.0, "Timeout of one attempt of a delivery.", check=valid.positive)
    webhook_retry_seconds: tuple[str, ...] = setting(
        ("5", "30", "120", "600", "1800", "3600", "7200", "14400", "28800", "28800"),
        "Delays before the second attempt of a delivery, the third and so on; each is changed at random by up to 20 %. "
        "After the last one the delivery is given up. The default takes about a day.",
        check=valid.delays,
    )
    webhook_concurrency: int = setting(32, "Deliveries that one scheduler sends at a time.", check=valid.positive)
    webhook_secret_overlap_hours: float = setting(
        24.0, "How long the previous secret of a webhook also signs after a rotation.", check=valid.not_negative
    )
    webhook_retention_days: float = setting(
        14.0, "How long deliveries are kept after their end.", check=valid.not_negative
    )
    # Limits of files
    max_upload_size: int = setting(
        0,
        "Largest file in bytes, for profiles without a limit of their own. 0: MAX_FILE_SIZE_MB.",
        check=valid.not_negative,
    )
    max_file_size_mb: int = setting(
        5 * 1024, "The same limit in MB, used where MAX_UPLOAD_SIZE is not set.", check=valid.positive
    )
    max_files_per_upload: int = setting(10, "Most files in one multipart form.", check=valid.positive)
    max_total_upload_size: int = setting(
        0, "Most bytes of all files of one form together. 0: no limit.", check=valid.not_negative
    )
    allowed_mime_types: tuple[str, ...] = setting(
        (), "Detected types that are accepted; `image/*` is a pattern. Empty: all."
    )
    blocked_mime_types: tuple[str, ...] = setting((), "Detected types that are rejected.")
    allowed_extensions: tuple[str, ...] = setting((), "File name extensions that are accepted. Empty: all.")
    quota_bytes: int = setting(
        0, "Most bytes that each owner may store, including unfinished uploads. 0: no limit.", check=valid.not_negative
    )
    quota_files: int = setting(
        0, "Most files that each owner may store, including unfinished uploads. 0: no limit.", check=valid.not_negative
    )
    max_open_uploads_per_owner: int = setting(
        0,
        "Most unfinished uploads of one owner, parts of tus concatenations included. 0: no limit.",
        check=valid.not_negative,
    )
    max_open_uploads_per_address: int | None = setting(
        None,
        "Most unfinished uploads that were begun at one address (of IPv6: in one /64 network), of all owners. 0: no "
        "limit. Empty: 1000, and in AUTH_MODE=open no limit for clients on this machine.",
        check=valid.not_negative,
    )
    verify_every_days: float = setting(
        0.0,
        "How often each stored file is read and compared with its SHA-256. 0: only by `windlass verify`.",
        check=valid.not_negative,
    )
    verify_mb_per_second: float = setting(
        20.0, "Most MB per second that one scheduler reads for that. 0: no limit.", check=valid.not_negative
    )
    disk_reserve_mb: int = setting(
        512, "New uploads are refused while the store's disk has less free space, in MB.", check=valid.not_negative
    )
    # Receiving
    durability: Literal["strict", "complete", "os"] = setting(
        "strict",
        "strict: sync bytes before they are acknowledged; complete: sync a file when it is complete; os: leave it to "
        "the operating system.",
    )
    direct_receive: Literal["auto", "off"] = setting(
        "auto",
        "auto: where nothing stands between (no TLS, a known length), threads read the bodies of uploads from their "
        "sockets, which is about twice as fast; off: every byte passes through the event loop.",
    )
    checkpoint_bytes: int = setting(
        64 * MB, "Commit the offset of a running upload at least every so many bytes.", check=valid.positive
    )
    checkpoint_seconds: float = setting(
        5.0, "Commit the offset of a running upload at least this often.", check=valid.positive
    )
    receive_timeout: float = setting(
        60.0,
        "Disconnect a client that sends nothing for this long. The bytes received so far are kept.",
        check=valid.positive,
    )
    complete_wait_seconds: float = setting(
        20.0,
        "How long the request that completes a chunked upload waits for the digest of the file before it gets 202.",
        check=valid.not_negative,
    )
    media_wait_seconds: float = setting(
        20.0,
        "How long the media API waits for a file's facts and thumbnail before it answers PROCESSING.",
        check=valid.not_negative,
    )
    # Entities in texts
    graph: Literal["off", "rules", "http"] = setting(
        "off",
        "What finds people, companies, days and sums of money in the texts of files. rules: patterns, without a "
        "network; http: a language model behind an endpoint with OpenAI's interface; off: nothing.",
    )
    graph_url: str = setting(
        "", "http: the base URL of the endpoint, such as `https://api.openai.com/v1`.", check=valid.http_url
    )
    graph_model: str = setting("", "http: the name of the language model.")
    graph_api_key: str = setting("", "http: the key, sent as a bearer token. Empty: none.", secret=True)
    graph_timeout_seconds: float = setting(60.0, "http: timeout of one request.", check=valid.positive)
    graph_tokens_per_file: int = setting(
        200_000, "http: most tokens of one file; the rest of its text is left out.", check=valid.positive
    )
    graph_tokens_per_day: int = setting(
        5_000_000,
        "http: most tokens of one day (UTC), over all files; then files wait for the next day. 0: no limit. One file "
        "gets no more either.",
        check=valid.not_negative,
    )
    neo4j_url: str = setting(
        "",
        "Neo4j to which the graph of entities is exported (extra `neo4j`), such as `neo4j+s://graph.example.org`. "
        "Empty: none.",
    )
    neo4j_user: str = setting("neo4j", "The user there.")
    neo4j_password: str = setting("", "The user's password. Empty: no credentials are sent.", secret=True)
    neo4j_database: str = setting("", "The database there. Empty: the user's home database.")
    # Retention
    upload_ttl_hours: float = setting(
        24.0, "An unfinished upload expires this long after its last byte.", check=valid.positive
    )
    session_retention_hours: float = setting(
        24.0, "How long the records of ended uploads are kept.", check=valid.not_negative
    )
    trash_hours: float = setting(
        0.0,
        "How long a deleted file can be restored, for profiles without a value of their own. 0: not at all.",
        check=valid.not_negative,
    )
    idempotency_hours: float = setting(
        24.0, "How long the answer to a request with an `Idempotency-Key` is kept, in hours.", check=valid.positive
    )
    event_retention_days: float = setting(30.0, "How long events are kept.", check=valid.positive)
    dead_job_retention_days: float = setting(
        30.0, "How long dead letters and records of ended jobs are kept.", check=valid.positive
    )
    # Audit log
    audit_log: bool = setting(True, "Whether it is recorded who did what to which file, from where.")
    audit_downloads: bool = setting(False, "Whether the audit log also records downloads.")
    audit_sign_ins: bool = setting(
        True, "Whether the audit log also records sign-ins with a password, refused ones too."
    )
    audit_retention_days: float = setting(
        365.0, "How long entries of the audit log are kept. 0: for ever.", check=valid.not_negative
    )
    # Limits of connections and requests
    max_request_line_bytes: int = setting(
        8 * 1024, "Longest request line (method, target and version); a longer one is 414.", check=valid.positive
    )
    max_header_line_bytes: int = setting(16 * 1024, "Longest header line; a longer one is 431.", check=valid.positive)
    max_header_bytes: int = setting(
        64 * 1024, "Request line and header lines together; more is 431.", check=valid.positive
    )
    max_header_lines: int = setting(100, "Header lines of one request; more is 431.", check=valid.positive)
    head_timeout: float = setting(
        10.0,
        "Timeout for receiving the head of a request: from the start of the connection, or on a reused connection from "
        "the request's first byte.",
        check=valid.positive,
    )
    keep_alive_timeout: float = setting(
        15.0, "How long a connection may be idle between two requests.", check=valid.positive
    )
    min_receive_rate: int = setting(
        256,
        "Least average rate at which a client must send a body, in bytes per second; it may fall behind by "
        "RECEIVE_TIMEOUT. 0: only silence counts.",
        check=valid.not_negative,
    )
    send_timeout: float = setting(
        60.0, "Disconnect a client that accepts no byte of a reply for this long.", check=valid.positive
    )
    min_send_rate: int = setting(
        256,
        "Least average rate at which a client must accept a reply that waits for it, in bytes per second; it may fall "
        "behind by SEND_TIMEOUT. 0: only silence counts.",
        check=valid.not_negative,
    )
    web_processes: int = setting(
        0,
        "Web processes that `windlass serve` runs; they share its address. 0: one for every two processors, at least 1 "
        "and at most 4. Limits of one web process hold for each of them.",
        check=valid.between(0, 64),
    )
    max_connections: int = setting(
        4000,
        "Open connections of one web process. A further one takes the place of the one that has waited longest for a "
        "request, or is 503 if each has one. Lower where the system limits the open files of a process.",
        check=valid.positive,
    )
    max_connections_per_address: int = setting(
        512,
        "Open connections from one address, to all web processes that `windlass serve` runs; more are 503. Behind "
        "TRUSTED_PROXIES: running requests of one client.",
        check=valid.positive,
    )
    max_live_connections_per_owner: int = setting(
        256,
        "Event streams and WebSockets of one owner that one web process holds open; more are 429. 0: no limit.",
        check=valid.not_negative,
    )
    memory_in_flight_mb: int = setting(
        128,
        "Memory of one web process for request bodies, JSON and replies to slow clients, in MB, in addition to up to "
        "half a MB per connection.",
        check=valid.body_memory,
    )
    # Rate limits
    rate_limit_per_minute: int | None = setting(
        None,
        "Calls per minute that create an upload, a grant or a webhook, or sign in: of one address, and of one user. "
        "Reading and other calls have ten times that; calls that an admitted upload needs have no limit. 0: no limits. "
        "Empty: 60, and in AUTH_MODE=open no limit for clients on this machine.",
        check=valid.not_negative,
    )
    rate_limit_burst: int = setting(
        10,
        "How many more such calls a single minute may have. Ten minutes have at most ten times RATE_LIMIT_PER_MINUTE.",
        check=valid.not_negative,
    )
    wrong_credentials_per_minute: int = setting(
        10,
        "Wrong passwords, API tokens, grants or signatures of one address that are answered in a minute; in ten "
        "minutes 2.5 times as many, in an hour 4 times. Further ones wait. 0: no limit.",
        check=valid.not_negative,
    )
    rate_limit_storage_url: str = setting(
        "",
        "Redis in which all machines count calls, such as `redis://host:6379/1`. Empty: CELERY_BROKER_URL, if that is "
        "a Redis; else each machine counts its own, in METRICS_DIR.",
        check=valid.redis_url,
        secret=True,
    )
    # Downloads
    sendfile: Literal["off", "x-accel-redirect", "x-sendfile"] = setting(
        "off", "Let the reverse proxy send local files: x-accel-redirect for nginx, x-sendfile for Apache and others."
    )
    sendfile_root: str = setting(
        "/windlass-media",
        "x-accel-redirect: the proxy's internal location of the media directory.",
        check=valid.url_path,
    )
    downloads: Literal["auto", "redirect", "proxy"] = setting(
        "auto",
        "redirect: clients are redirected to the store where it is reachable for them; proxy: this server sends the "
        "bytes; auto: redirect for Amazon S3 and AWS_S3_PUBLIC_ENDPOINT_URL, else proxy.",
    )
    upload_url_seconds: int = setting(
        900, "Lifetime of a signed URL for a direct upload to the bucket.", check=valid.positive
    )
    signed_url_seconds: int = setting(3600, "Default lifetime of a signed download URL.", check=valid.positive)
    # Access
    auth_mode: Literal["open", "required", "token"] = setting(
        "open",
        "open: no credential needed, and the server listens on loopback only; required (or token): every call needs "
        "one.",
    )
    permission_rule: str = setting(
        "",
        "Function of your project, as `package.module.function`, that says whose uploads and files a caller may use: "
        "`(principal, action, owners) -> owners`. Empty: the caller's own; for staff everybody's.",
    )
    metrics_token: str = setting("", "Bearer token that may read `/metrics`, besides staff.")
    # JSON Web Tokens of an identity provider or another application
    jwt_jwks_url: str = setting(
        "", "URL of the issuer's JWK Set, with which its tokens are verified. Empty: none.", check=valid.http_url
    )
    jwt_public_key: str = setting(
        "",
        "Public keys or certificates in PEM that verify tokens, in place of JWT_JWKS_URL. Several may follow each "
        "other.",
        check=valid.public_keys,
        secret=True,
    )
    jwt_secret: str = setting(
        "",
        "Secret that verifies tokens signed with HMAC, in place of JWT_JWKS_URL; at least 32 bytes.",
        check=valid.jwt_secret,
        secret=True,
    )
    jwt_secret_fallbacks: tuple[str, ...] = setting(
        (), "Previous values of JWT_SECRET, which still verify tokens.", check=valid.jwt_secrets, secret=True
    )
    jwt_algorithms: tuple[str, ...] = setting(
        ("HS256", "RS256", "ES256", "EdDSA"),
        "Algorithms that are accepted, of those that fit the type of the key.",
        check=valid.jwt_algorithms,
    )
    jwt_issuer: str = setting("", "The only `iss` that is accepted. Empty: any.")
    jwt_audience: tuple[str, ...] = setting(
        (), "Values of `aud` that are accepted. Empty: only tokens that name no audience."
    )
    jwt_leeway_seconds: float = setting(
        30.0, "How far the clocks of issuer and server may differ.", check=valid.between(0, 600)
    )
    jwt_owner_prefix: str = setting(
        "jwt:",
        "What is put before `sub` to make the owner. `user:`: `sub` is the primary key of a user of this server.",
        check=valid.owner_prefix,
    )
    jwt_staff_claim: str = setting(
        "staff", "Claim that makes its caller staff, also within another one: `realm_access.roles`."
    )
    jwt_staff_value: str = setting(
        "", "Text that this claim has, or contains in its list. Empty: the claim must be `true`."
    )
    jwt_scope_claim: str = setting(
        "scope",
        "Claim with the scopes `read`, `write` and `admin`, in a text or a list. A token without this claim may do "
        "everything that its owner may.",
    )
    jwt_jwks_cache_seconds: float = setting(
        300.0, "How long the JWK Set is used before it is fetched again.", check=valid.positive
    )
    # Django
    secret_key: str = setting(
        "",
        "Signs sessions and download URLs; at least 32 characters. Empty: one is generated and kept in the home "
        "directory.",
    )
    secret_key_fallbacks: tuple[str, ...] = setting(
        (), "Previous values of SECRET_KEY, which still verify what they signed.", secret=True
    )
    access_token_seconds: int = setting(
        900, "How long an access token of `POST /api/v1/auth/token` is valid.", check=valid.positive
    )
    refresh_token_days: float = setting(30.0, "How long a sign-in lasts that is not refreshed.", check=valid.positive)
    debug: bool = setting(False, "Django's debug pages. Never use them on a public address.")
    allowed_hosts: tuple[str, ...] = setting(
        ("localhost", "127.0.0.1", "[::1]"), "Host names that this server answers to. `*`: any."
    )
    csrf_trusted_origins: tuple[str, ...] = setting((), "Origins whose unsafe requests may carry a session cookie.")
    secure_cookies: bool = setting(
        False,
        "Mark every cookie `Secure`, so that browsers send it over TLS only. If false, only the cookies of requests "
        "over TLS are marked, as reported by TRUSTED_PROXIES: set it where the proxy does not report TLS.",
    )
    hsts_seconds: int = setting(
        0,
        "`max-age` of `Strict-Transport-Security` in replies over TLS: browsers use only TLS for this host for that "
        "long. 0: no such header. 31536000 is a year.",
        check=valid.not_negative,
    )
    hsts_include_subdomains: bool = setting(False, "Include subdomains in that header. Needs HSTS_SECONDS.")
    # Reverse proxies and other origins
    cors_allowed_origins: tuple[str, ...] = setting(
        (),
        "Origins whose pages may call this server, such as `https://app.example.org`. `*`: any; `null`: pages opened "
        "from disk.",
        check=valid.origins,
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        "Addresses or networks of proxies whose `X-Forwarded-*` and `Forwarded` fields are trusted. `*`: any.",
        check=valid.networks,
    )
    root_path: str = setting(
        "", "Path below which a proxy serves this server, such as `/upload`. Links begin with it.", check=valid.url_path
    )
    # Logs and metrics
    log_level: Literal["debug", "info", "warning", "error"] = setting("info", "Lowest level that is logged.")
    log_format: Literal["auto", "json", "console"] = setting(
        "auto", "Format of log lines: `json`, `console` for people, `auto`: `console` on a terminal, else `json`."
    )
    access_log: bool = setting(False, "Whether each request is logged, at the level `info`.")
    metrics_dir: Path | None = setting(
        None,
        "Directory in which the processes of this machine share their counters. It must be on this machine's own disk "
        "or memory, and only processes whose counters are to be added up use it. Empty: `metrics` in the home "
        "directory.",
    )
    # Traces (OpenTelemetry) and error reports (Sentry)
    otel_exporter_otlp_endpoint: str = setting(
        "",
        "Base URL of an OpenTelemetry receiver (OTLP over HTTP), such as `http://collector:4318`, for traces. "
        "Empty: no traces. Needs the extra `otel`.",
        check=valid.http_url,
    )
    otel_exporter_otlp_traces_endpoint: str = setting(
        "", "URL for traces alone, in full, in place of the base URL.", check=valid.http_url
    )
    otel_exporter_otlp_headers: str = setting(
        "", "Header fields of each request to it, such as `authorization=Bearer%20secret`.", secret=True
    )
    otel_exporter_otlp_protocol: Literal["http/protobuf"] = setting(
        "http/protobuf", "The protocol of the receiver; there is no other."
    )
    otel_traces_exporter: Literal["otlp", "none"] = setting("otlp", "none: no traces, whatever the other settings say.")
    otel_sdk_disabled: bool = setting(False, "No traces, whatever the other settings say.")
    otel_service_name: str = setting("windlass", "Name of the service in traces.")
    sentry_dsn: str = setting(
        "",
        "DSN of a Sentry project, which unexpected errors are reported to. Empty: no reports. Needs the extra "
        "`sentry`.",
        check=valid.sentry_dsn,
        secret=True,
    )
    sentry_environment: str = setting("production", "Environment in error reports.")
    sentry_sample_rate: float = setting(
        1.0, "Share of the errors that is reported, from 0 to 1.", check=valid.between(0, 1)
    )

    def __post_init__(self) -> None:
        """Check the settings that depend on each other. Raises BadSetting."""
        if self.hsts_include_subdomains and not self.hsts_seconds:
            raise BadSetting("HSTS_INCLUDE_SUBDOMAINS does nothing without HSTS_SECONDS: set both or neither")
        if self.storage_backend == "django" and not self.django_storage:
            raise BadSetting("DJANGO_STORAGE is not set: STORAGE_BACKEND=django needs a storage")
        if self.storage_backend == "s3" and not self.aws_storage_bucket_name:
            raise BadSetting("AWS_STORAGE_BUCKET_NAME is not set: STORAGE_BACKEND=s3 needs a bucket")
        if self.storage_backend == "s3" and bool(self.aws_access_key_id) != bool(self.aws_secret_access_key):
            raise BadSetting("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set together or not at all")

    @property
    def upload_limit(self) -> int:
        """Largest file in bytes, for profiles without a limit of their own."""
        return self.max_upload_size or self.max_file_size_mb * MB

    @property
    def calls_per_minute(self) -> int:
        """The rate limit of creating calls and of signing in; 0 for none."""
        return 60 if self.rate_limit_per_minute is None else self.rate_limit_per_minute

    @property
    def open_uploads_per_address(self) -> int:
        """Most unfinished uploads of one address; 0 for no limit."""
        return 1000 if self.max_open_uploads_per_address is None else self.max_open_uploads_per_address

    @property
    def rate_limit_redis(self) -> str:
        """URL of the Redis that counts calls; empty where each machine counts its own."""
        return self.rate_limit_storage_url or next(
            (url for url in self.celery_broker_url.split(";") if valid.is_redis(url)), ""
        )

    @property
    def scanner_name(self) -> str:
        """The entry point of the malware scanner; empty where none is set."""
        return self.scanner or ("clamd" if self.clamav_url else "")

    @property
    def webhook_retry_schedule(self) -> tuple[float, ...]:
        """Seconds before the second attempt of a delivery, the third and so on."""
        return tuple(map(float, self.webhook_retry_seconds))

    @property
    def traces_endpoint(self) -> str:
        """The URL that traces are sent to; empty where none is set."""
        base = self.otel_exporter_otlp_endpoint
        return self.otel_exporter_otlp_traces_endpoint or (base and f"{base.rstrip('/')}/v1/traces")

    def breaker(self, name: str) -> tuple[int, int, float]:
        """Failure threshold, success threshold and recovery seconds of the circuit breaker of this service."""
        return (
            getattr(self, f"breaker_{name}_failure_threshold", None) or self.breaker_failure_threshold,
            getattr(self, f"breaker_{name}_success_threshold", None) or self.breaker_success_threshold,
            getattr(self, f"breaker_{name}_recovery_seconds", None) or self.breaker_recovery_seconds,
        )

    @property
    def media_directory(self) -> Path:
        return _absolute(self.media_root or self.windlass_home / "media")

    @property
    def metrics_directory(self) -> Path:
        return _absolute(self.metrics_dir or self.windlass_home / "metrics")

    @property
    def staging_directory(self) -> Path:
        return _absolute(self.django_storage_staging or self.windlass_home / "staging")

    @property
    def credentials_required(self) -> bool:
        return self.auth_mode != "open"

    @property
    def jwt_configured(self) -> bool:
        return bool(self.jwt_jwks_url or self.jwt_public_key or self.jwt_secret)
