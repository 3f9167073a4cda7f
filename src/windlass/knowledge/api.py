"""Public interface of the knowledge app: what is in the files' texts, and the search in it."""

from windlass.knowledge.embeddings import BadModel, QueryVector, query_vectors
from windlass.knowledge.embeddings import is_on as has_embeddings
from windlass.knowledge.indexing import delete_orphaned_passages, rebuild_words
from windlass.knowledge.model_endpoint import ModelAway, ModelRefused
from windlass.knowledge.models import Passage
from windlass.knowledge.owner_data import rows_of_files
from windlass.knowledge.reindex import (
    files_to_embed,
    files_to_index,
    queue_embedding,
    queue_files,
    unembedded_count,
    unindexed_count,
    waiting_count,
    waiting_for_vectors,
)
from windlass.knowledge.search import FoundFile, FoundPassage, search
from windlass.knowledge.snippets import SnippetPart
from windlass.knowledge.vectors import vectors_available

__all__ = [
    "BadModel",
    "FoundFile",
    "FoundPassage",
    "ModelAway",
    "ModelRefused",
    "Passage",
    "QueryVector",
    "SnippetPart",
    "delete_orphaned_passages",
    "files_to_embed",
    "files_to_index",
    "has_embeddings",
    "query_vectors",
    "queue_embedding",
    "queue_files",
    "rebuild_words",
    "rows_of_files",
    "search",
    "unembedded_count",
    "unindexed_count",
    "vectors_available",
    "waiting_count",
    "waiting_for_vectors",
]
