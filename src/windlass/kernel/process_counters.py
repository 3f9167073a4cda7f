"""What this process counts and measures for ``/metrics``. docs/how-to/watch-with-prometheus.md explains each."""

from __future__ import annotations

from windlass.kernel.instruments import NAMES, SHORT_TIMES, Counter, Gauge, Histogram

#: Upload dialects (``protocols.dialects``).
DIALECTS = ("tus", "ietf", "form", "raw", "chunks", "media", "s3")
#: ``none``: every other request.
_DIALECTS = (*DIALECTS, "none")
#: How a request ended: answered with 2xx or 3xx, 4xx, 5xx; or its client had gone before both bodies were complete.
_OUTCOMES = ("accepted", "refused", "failed", "interrupted")
#: What a reply was: bytes of a file or rendition, of an archive of files, a live stream, anything else.
_KINDS = ("file", "archive", "live", "other")
_STAGES = ("intake", "describe", "derive")

received_bytes = Counter(
    "windlass_received_bytes",
    "Bytes of request bodies that arrived; late: after the reply, and dropped.",
    {"dialect": _DIALECTS, "outcome": (*_OUTCOMES, "late")},
)
sent_bytes = Counter(
    "windlass_sent_bytes",
    "Bytes of reply bodies that were given to the connection.",
    {"kind": _KINDS, "outcome": _OUTCOMES},
)
requests = Counter(
    "windlass_requests", "Requests that were answered or ended.", {"dialect": _DIALECTS, "outcome": _OUTCOMES}
)
request_seconds = Histogram(
    "windlass_request_seconds", "Seconds from a request's head to the end of its reply.", {"dialect": _DIALECTS}
)
upload_seconds = Histogram(
    "windlass_upload_seconds",
    "Seconds from the creation of an upload session to its file record.",
    {"dialect": DIALECTS},
)
lease_handovers = Counter(
    "windlass_lease_handovers",
    "Requests that waited for another one to release an upload: whether they obtained it.",
    {"outcome": ("obtained", "refused")},
)
sync_seconds = Histogram(
    "windlass_fsync_seconds",
    "Seconds of one sync of a stored file or directory.",
    {"kind": ("data", "directory")},
    bounds=SHORT_TIMES,
)
commit_seconds = Histogram(
    "windlass_database_commit_seconds", "Seconds of one commit of the database.", bounds=SHORT_TIMES
)
commit_group_size = Histogram(
    "windlass_database_commit_calls", "Calls that shared one commit.", bounds=(1, 2, 4, 8, 16, 32, 64)
)
job_wait_seconds = Histogram(
    "windlass_job_wait_seconds", "Seconds from when a job was due to its claim.", {"stage": _STAGES}
)
job_run_seconds = Histogram("windlass_job_run_seconds", "Seconds that one attempt of a stage took.", {"stage": _STAGES})
jobs_ended = Counter(
    "windlass_job_attempts",
    "Attempts of jobs that ended, by how.",
    {"stage": _STAGES, "outcome": ("done", "retried", "postponed", "dead", "lost")},
)
step_run_seconds = Histogram(
    "windlass_step_run_seconds",
    "Seconds of one run of a step.",
    {"step": NAMES, "outcome": ("done", "failed", "owed", "refused", "error", "skipped")},
)
model_calls = Counter(
    "windlass_model_calls",
    "Requests to endpoints of models, each attempt, by how it ended.",
    {"endpoint": NAMES, "outcome": ("answered", "refused", "failed")},
)
model_tokens = Counter(
    "windlass_model_tokens",
    "Tokens that endpoints of models have counted, which is what they charge.",
    {"endpoint": NAMES, "kind": ("prompt", "completion")},
)
model_seconds = Histogram(
    "windlass_model_seconds", "Seconds of one request to an endpoint of a model.", {"endpoint": NAMES}
)
sandbox_kills = Counter(
    "windlass_sandbox_kills",
    "Children of the sandbox that were ended, or could not go on, by cause.",
    {"cause": ("time", "memory", "cpu", "system-call", "killed", "crash", "exit", "sandbox")},
)
webhook_seconds = Histogram(
    "windlass_webhook_seconds",
    "Seconds of one attempt to deliver an event to a webhook, by how it ended.",
    {"outcome": ("delivered", "retried", "dead", "postponed")},
)
idempotency_replays = Counter(
    "windlass_idempotency_replays", "Requests that were answered as an earlier one with the same Idempotency-Key."
)
live_readers = Gauge("windlass_live_readers", "Clients that read live events.", {"kind": ("sse", "websocket")})
client_disconnects = Counter(
    "windlass_client_disconnects",
    "Clients that closed before their request (body) or its reply was whole.",
    {"during": ("body", "reply")},
)
connections_ended = Counter(
    "windlass_connections_ended",
    "Connections that were ended because they were too slow or too many.",
    {"reason": ("head-timeout", "made-way", "no-pong", "slow-body", "slow-reply", "too-many")},
)
requests_refused = Counter(
    "windlass_requests_refused",
    "Requests that were refused before they were routed.",
    {"status": ("400", "408", "413", "414", "431", "501", "503", "505")},
)
process_restarts = Counter(
    "windlass_process_restarts",
    "Processes that died and were started again by windlass serve.",
    {"process": ("web", "worker", "scheduler")},
)
