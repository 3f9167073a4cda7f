"""Dead letters, which the API calls failed tasks: list, read, retry and delete them, and count failures."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from django.db.models import Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Query, Router, Schema
from pydantic import (
    Field,
    StrictBool,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from windlass.executors import in_database
from windlass.http.json_models import ReplyModel, within
from windlass.http.rest import cursors
from windlass.http.rest.credentials import STAFF
from windlass.http.rest.file_list import MAX_LIMIT, checked_type
from windlass.http.rest.keyed_calls import takes_idempotency_key
from windlass.http.rest.problems import request_id
from windlass.jobs import api as jobs
from windlass.kernel import urls
from windlass.kernel.clock import now
from windlass.kernel.ids import parse_id
from windlass.kernel.problem_types import Conflict, InvalidField, NotFound
from windlass.processing import api as processing

router = Router(tags=["Error handling"])

#: Ids that one call may name, and dead letters that one call with ``all`` retries.
MAX_TASK_IDS = 1000
MAX_RETRIED = 5000
#: Characters of a message in the list; one task has the whole messages.
LISTED_MESSAGE = 500
#: Attempts are kept as long as their jobs, which by default is 30 days.
MAX_WINDOW_HOURS = 31 * 24
#: A century.
MAX_AGE_HOURS = 876_000


def _checked_hours(value: Any, handler: ValidatorFunctionWrapHandler) -> float:
    try:
        hours = float(handler(value))
        if 0 <= hours <= MAX_AGE_HOURS:
            return hours
    except ValidationError:
        pass
    raise ValueError(f"must be a number from 0 to {MAX_AGE_HOURS} hours")


_Hours = Annotated[float, Field(ge=0, le=MAX_AGE_HOURS), WrapValidator(_checked_hours)]


class FailedTaskQuery(Schema):
    """The query parameters of the list."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT), within(1, MAX_LIMIT)] = 50
    cursor: str | None = Field(None, description="From `next` of the previous page.")
    stage: jobs.Stage | None = None
    step: str | None = Field(None, max_length=64, description="The step that failed last.")
    error_class: str | None = Field(
        None, max_length=200, description="Class of the last error, such as `SandboxKilled`."
    )
    mime_type: str | None = Field(
        None, max_length=255, description="Detected type of the file; `image/*` matches all images."
    )
    older_than_hours: _Hours | None = Field(None, description="Given up at least this long ago.")
    newer_than_hours: _Hours | None = Field(None, description="Given up at most this long ago.")

    _is_type = field_validator("mime_type")(checked_type)

    def selection(self) -> jobs.DeadLetterFilter:
        return jobs.DeadLetterFilter(
            self.stage,
            self.step,
            self.error_class,
            _hours_ago(self.older_than_hours),
            _hours_ago(self.newer_than_hours),
        )


class AttemptOut(ReplyModel):
    retry: int = Field(description="0: before the first retry of the task; n: after the nth.")
    number: int = Field(description="Starts with 1 again after each retry of the task.")
    outcome: str
    step: str | None
    started_at: datetime
    ended_at: datetime | None
    seconds: float | None
    error_class: str | None
    message: str
    worker: str
    request_id: str | None = Field(description="The request that caused the attempt: the upload, or the retry.")


class FailedTask(ReplyModel):
    task_id: str
    file_id: str
    filename: str | None = Field(description="Name of the file; null if the file is deleted.")
    owner: str | None
    size: int | None
    stage: str
    step: str | None = Field(description="The step that failed last.")
    error_class: str | None = Field(description="Class of the last error.")
    message: str = Field(description=f"The last error; in the list at most {LISTED_MESSAGE} characters of it.")
    retries: int = Field(description="How often the task was retried after it had been given up.")
    attempts: list[AttemptOut] = Field(description="All attempts, also those before a retry, the oldest first.")
    first_failed_at: datetime
    last_failed_at: datetime


class FailedTaskList(ReplyModel):
    results: list[FailedTask]
    next: str | None = Field(description="Path and query of the next page; null on the last.")


class RetryIn(Schema):
    task_ids: list[str | int | float | bool | None] | None = Field(
        None, description=f"At most {MAX_TASK_IDS} ids. Each is answered for itself, ill-formed ones with `not_found`."
    )
    all: StrictBool = Field(
        False, description=f"Retry all failed tasks, at most {MAX_RETRIED} in one call, those given up first."
    )


class RetryOut(ReplyModel):
    results: dict[str, jobs.RetryResult]
    queued: int
    remaining: int = Field(description="With `all`: failed tasks that are left for another call. Else 0.")


class StatisticsQuery(Schema):
    window_hours: Annotated[int, Field(ge=1, le=MAX_WINDOW_HOURS), within(1, MAX_WINDOW_HOURS)] = 24


class HourOut(ReplyModel):
    hour: datetime
    count: int


class RetriesOut(ReplyModel):
    attempted: int = Field(description="Retries of failed tasks that a worker has started.")
    succeeded: int


class StatisticsOut(ReplyModel):
    window_hours: int
    total: int = Field(description="Attempts that failed, whether or not a later one succeeded.")
    by_step: dict[str, int] = Field(description="`none`: outside a step.")
    by_error: dict[str, int] = Field(description="By class of the error.")
    by_hour: list[HourOut] = Field(description="Every hour of the window, the oldest first.")
    retries: RetriesOut


@router.get(
    "/failed-tasks", auth=STAFF, response=FailedTaskList, summary="List failed tasks, the newest first; for staff only"
)
async def list_failed_tasks(request: HttpRequest, query: Query[FailedTaskQuery]) -> HttpResponse:
    return JsonResponse(await in_database(_page, query))


@router.get(
    "/failed-tasks/{task_id}",
    auth=STAFF,
    response=FailedTask,
    summary="A failed task with all its attempts; for staff only",
)
async def read_failed_task(request: HttpRequest, task_id: str) -> HttpResponse:
    return JsonResponse(await in_database(_document, _parse_task_id(task_id)))


@router.delete(
    "/failed-tasks/{task_id}",
    auth=STAFF,
    response={204: None},
    summary="Delete a failed task and its attempts; its file stays; for staff only",
)
async def delete_failed_task(request: HttpRequest, task_id: str) -> HttpResponse:
    await in_database(_delete, _parse_task_id(task_id))
    return HttpResponse(status=204)


@router.post("/retry-tasks", auth=STAFF, response=RetryOut, summary="Retry failed tasks; for staff only")
@takes_idempotency_key
async def retry_tasks(request: HttpRequest, asked: RetryIn) -> HttpResponse:
    if (asked.task_ids is None) != asked.all:
        raise InvalidField('Give either "task_ids" or "all": true.', field="task_ids")
    if asked.task_ids is None:
        return JsonResponse(await in_database(_retry_all, request_id(request)))
    if len(asked.task_ids) > MAX_TASK_IDS:
        detail = f"task_ids may have at most {MAX_TASK_IDS} ids; {len(asked.task_ids)} were sent."
        raise InvalidField(detail, field="task_ids", limit=MAX_TASK_IDS)
    texts = [each if isinstance(each, str) else json.dumps(each) for each in asked.task_ids]
    return JsonResponse(await in_database(_retry, texts, request_id(request)))


@router.get(
    "/statistics",
    auth=STAFF,
    response=StatisticsOut,
    summary="Failed attempts and retries of the last hours; for staff",
)
async def statistics(request: HttpRequest, query: Query[StatisticsQuery]) -> HttpResponse:
    return JsonResponse(await in_database(jobs.failure_statistics, query.window_hours))


def _page(query: FailedTaskQuery) -> dict[str, Any]:
    selected = processing.find_dead_letters(query.selection(), mime_type=query.mime_type)
    if query.cursor:
        moment, job_id = cursors.decode(query.cursor)
        selected = selected.filter(dead_at__lte=moment).filter(Q(dead_at__lt=moment) | Q(id__lt=job_id))
    page = list(selected.prefetch_related("attempt_log")[: query.limit + 1])
    shown = page[: query.limit]
    return {
        "results": processing.dead_letter_documents(shown, LISTED_MESSAGE),
        "next": _next(query, shown[-1]) if len(page) > query.limit else None,
    }


def _next(query: FailedTaskQuery, last: jobs.Job) -> str:
    parameters = query.model_dump(mode="json", exclude_none=True, exclude={"cursor"})
    assert last.dead_at is not None
    cursor = cursors.encode(last.dead_at, last.id)
    return urls.path(f"/error-handling/failed-tasks?{urlencode(parameters | {'cursor': cursor})}")


def _document(task_id: uuid.UUID) -> dict[str, Any]:
    job = processing.find_dead_letters().filter(id=task_id).first()
    if job is None:
        raise NotFound(f"There is no failed task {task_id}.")
    return processing.dead_letter_documents([job])[0]


def _delete(task_id: uuid.UUID) -> None:
    """Raises NotFound, Conflict."""
    if jobs.delete_dead_letters(processing.find_dead_letters().filter(id=task_id)):
        return
    state = jobs.job_state(task_id)
    if state is None or state == jobs.JobState.DEAD:  # dead: its file is in the trash
        raise NotFound(f"There is no failed task {task_id}.")
    raise Conflict(f"Task {task_id} is {state}; only failed tasks can be deleted.", state=state)


def _retry(texts: Sequence[str], cause: str) -> dict[str, Any]:
    parsed = {text: parse_id(text) for text in texts}
    results = jobs.retry_dead_letters([job_id for job_id in parsed.values() if job_id is not None], cause)
    not_found = jobs.RetryResult.NOT_FOUND
    return _reply({text: results[job_id] if job_id else not_found for text, job_id in parsed.items()}, remaining=0)


def _retry_all(cause: str) -> dict[str, Any]:
    oldest = processing.find_dead_letters().order_by("dead_at", "id").values_list("id", flat=True)
    results = jobs.retry_dead_letters(list(oldest[:MAX_RETRIED]), cause)
    remaining = processing.find_dead_letters().count() if len(results) == MAX_RETRIED else 0
    return _reply({str(job_id): result for job_id, result in results.items()}, remaining=remaining)


def _reply(results: Mapping[str, jobs.RetryResult], *, remaining: int) -> dict[str, Any]:
    queued = sum(1 for result in results.values() if result == jobs.RetryResult.QUEUED)
    return {"results": results, "queued": queued, "remaining": remaining}


def _hours_ago(hours: float | None) -> datetime | None:
    return None if hours is None else now() - timedelta(hours=hours)


def _parse_task_id(text: str) -> uuid.UUID:
    task_id = parse_id(text)
    if task_id is None:
        raise NotFound(f"There is no failed task {text}.")
    return task_id
