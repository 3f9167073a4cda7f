"""Search the caller's files by their texts, names and facts (http-api section 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import structlog
from django.apps import apps
from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Query, Router
from pydantic import Field, StringConstraints

from windlass.executors import in_database, in_model_thread
from windlass.files.api import FileRows, find_files_with_rows, visible_files
from windlass.http.callers import caller
from windlass.http.file_records import FileRecord, record_of_rows
from windlass.http.json_models import ReplyModel, within
from windlass.http.rest.credentials import OWNER, OWNER_READS
from windlass.http.rest.file_list import FileSelection, selected_files
from windlass.kernel import urls
from windlass.kernel.principals import Principal
from windlass.kernel.problem_types import InvalidField, NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from windlass.knowledge.api import FoundFile, FoundPassage, QueryVector

log = structlog.get_logger(__name__)

router = Router(tags=["Search"])

MAX_LIMIT = 100
#: After which a model that refused the query is asked again, if it did not say.
MODEL_RETRY_SECONDS = 30
#: Characters of a query in a URL, and in a body.
LONGEST_QUERY, LONGEST_BODY_QUERY = 1_000, 10_000

_Query = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_QUERY, strip_whitespace=True)]
_LongQuery = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_BODY_QUERY, strip_whitespace=True)]
_Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT), within(1, MAX_LIMIT)]
_MEANING = "What is searched for: words, and phrases in double quotes. Case and accents are ignored."


class SearchSettings(FileSelection):
    mode: Literal["hybrid", "text", "vector"] | None = Field(
        None,
        description="`text`: by words; `vector`: by meaning; `hybrid`: by both. Without it `hybrid`, if this server "
        "has a model.",
    )
    limit: _Limit = Field(20, description="Files in the reply.")


class SearchQuery(SearchSettings):
    """The query parameters of the search."""

    q: _Query = Field(description=_MEANING)


class SearchIn(SearchSettings):
    """The body of the search: the same, for long queries."""

    q: _LongQuery = Field(description=_MEANING)


class SnippetPart(ReplyModel):
    """Plain text."""

    text: str
    match: bool = Field(description="Whether this part is what was searched for.")


class PassageOut(ReplyModel):
    id: int
    page: int | None = Field(description="Where the passage starts, from 1; null where the text has no pages.")
    start: int = Field(description="First character of the passage in the file's text.")
    end: int
    language: str | None = Field(description="ISO 639-1; null if unknown.")
    snippet: list[SnippetPart] = Field(description="The part of the passage with most matches.")


class FoundLinks(ReplyModel):
    self: str
    text: str | None = Field(description="The whole text; null where the file has none.")


class FoundOut(ReplyModel):
    file: FileRecord
    score: float = Field(description="Greater is better. Comparable within one reply only.")
    name: list[SnippetPart] = Field(description="The file's name, with what was found in it.")
    passages: list[PassageOut] = Field(description="The best passages; none if only the name or the facts match.")
    links: FoundLinks


class SearchOut(ReplyModel):
    results: list[FoundOut] = Field(description="The best files, best first.")
    mode: Literal["hybrid", "text", "vector"] = Field(
        description="How it was searched: `text` in place of `hybrid` where the model is away, or there is none."
    )
    owed: int = Field(
        description="Files of the caller whose text is not indexed yet; of the mode `vector`: that have no vectors yet."
    )


@router.get(
    "/search", auth=OWNER, response=SearchOut, summary="Search the texts, names and facts of the caller's files"
)
async def search_files(request: HttpRequest, query: Query[SearchQuery]) -> HttpResponse:
    return await _answer(query, query.q, caller(request))


@router.post("/search", auth=OWNER_READS, response=SearchOut, summary="Search with a long query")
async def search_files_at_length(request: HttpRequest, asked: SearchIn) -> HttpResponse:
    return await _answer(asked, asked.q, caller(request))


async def _answer(settings: SearchSettings, query: str, principal: Principal) -> HttpResponse:
    """Raises NotFound in a project without the app; InvalidField, Unavailable if only vectors are asked for, and there
    is no model, or it is away."""
    if not apps.is_installed("windlass.knowledge"):
        raise NotFound("This server has no search: windlass.knowledge is not among its INSTALLED_APPS.")
    # The model may take seconds to answer: no thread of the database waits for it.
    vectors = await in_model_thread(_query_vectors, settings.mode, query) if _wants_vectors(settings.mode) else ()
    return JsonResponse(await in_database(_found, settings, query, principal, vectors))


def _wants_vectors(mode: str | None) -> bool:
    """Raises InvalidField if only vectors are asked for, and there is no model."""
    from windlass.knowledge import api as knowledge  # its models can be imported only where the app is installed

    if mode == "vector" and not knowledge.has_embeddings():
        raise InvalidField(
            "This server has no model for vectors (EMBEDDINGS is off): search with mode=text.", field="mode"
        )
    return mode != "text" and knowledge.has_embeddings()


def _query_vectors(mode: str | None, query: str) -> Sequence[QueryVector]:
    """None while the model is away; if only vectors are asked for, raises Unavailable then."""
    from windlass.knowledge import api as knowledge

    try:
        return knowledge.query_vectors(query)
    except (knowledge.ModelAway, knowledge.ModelRefused, knowledge.BadModel) as error:
        log.warning("search.model_away", error=str(error))
        if mode != "vector":
            return ()
        seconds = getattr(error, "retry_after", MODEL_RETRY_SECONDS)
        raise Unavailable(
            "The model that makes vectors does not answer. Send the request again, or search with mode=text.",
            retry_after=max(1, round(seconds)),
        ) from error


def _found(
    settings: SearchSettings, query: str, principal: Principal, vectors: Sequence[QueryVector]
) -> dict[str, Any]:
    from windlass.knowledge import api as knowledge

    if vectors and not knowledge.vectors_available():
        if settings.mode == "vector":
            raise InvalidField(
                "The database of this server cannot search vectors: search with mode=text.", field="mode"
            )
        vectors = ()
    visible = visible_files(principal)
    by_words = settings.mode != "vector"
    found = knowledge.search(
        query,
        selected_files(visible, settings),
        settings.limit,
        owners=principal.owners,
        vectors=vectors,
        by_words=by_words,
    )
    rows = find_files_with_rows([each.file_id for each in found])
    # Without those that were put into the trash between the two queries.
    records = {each.asset.id: each for each in rows if each.asset.trashed_at is None}
    results = [_document(each, records) for each in found if each.file_id in records]
    mode = "vector" if not by_words else "hybrid" if vectors else "text"
    owed = knowledge.unindexed_count(visible) if by_words else knowledge.unembedded_count(visible)
    return {"results": results, "mode": mode, "owed": owed}


def _document(found: FoundFile, records: Mapping[UUID, FileRows]) -> dict[str, Any]:
    rows = records[found.file_id]
    has_text = any(rendition.name == "text" for rendition in rows.renditions)
    return FoundOut.of(
        found,
        file=record_of_rows(rows),
        name=_parts(found.name),
        passages=[_passage(passage) for passage in found.passages],
        links={
            "self": urls.file_path(found.file_id),
            "text": urls.file_path(found.file_id, "text/") if has_text else None,
        },
    )


def _passage(passage: FoundPassage) -> dict[str, Any]:
    return PassageOut.of(passage, language=passage.language or None, snippet=_parts(passage.snippet))


def _parts(snippet: Any) -> list[dict[str, Any]]:
    return [SnippetPart.of(part) for part in snippet]
