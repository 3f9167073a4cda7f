"""Public interface of the knowledge app: what is in the files' texts, and the search in it."""

from windlass.knowledge.indexing import delete_orphaned_passages, rebuild_words
from windlass.knowledge.models import Passage
from windlass.knowledge.owner_data import rows_of_files
from windlass.knowledge.reindex import files_to_index, queue_files, unindexed_count, waiting_count
from windlass.knowledge.search import FoundFile, FoundPassage, search
from windlass.knowledge.snippets import SnippetPart

__all__ = [
    "FoundFile",
    "FoundPassage",
    "Passage",
    "SnippetPart",
    "delete_orphaned_passages",
    "files_to_index",
    "queue_files",
    "rebuild_words",
    "rows_of_files",
    "search",
    "unindexed_count",
    "waiting_count",
]
