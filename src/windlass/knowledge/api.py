"""Public interface of the knowledge app: what is in the files' texts, and the search in it."""

from windlass.knowledge.graph.export import ExportReport, export_graph, is_exported
from windlass.knowledge.graph.merges import delete_unused_merges, merge, owner_of, split
from windlass.knowledge.graph.neo4j_database import Neo4jAway
from windlass.knowledge.graph.paths import LONGEST_PATH, FoundPaths, find_paths
from windlass.knowledge.graph.queries import (
    DescribedEntity,
    DescribedFileGraph,
    EntityOfOthers,
    FoundEntity,
    FoundPlace,
    FoundRelation,
    describe_entity,
    describe_file_graph,
    list_entities,
    require_entity,
)
from windlass.knowledge.graph.rebuild import queue_extraction
from windlass.knowledge.graph.storing import delete_orphaned_graphs
from windlass.knowledge.indexing import delete_orphaned_passages, rebuild_words
from windlass.knowledge.models import Passage
from windlass.knowledge.owner_data import owner_rows
from windlass.knowledge.reindex import files_to_index, queue_files, unindexed_count, waiting_count
from windlass.knowledge.search import FoundFile, FoundPassage, search
from windlass.knowledge.snippets import SnippetPart

__all__ = [
    "LONGEST_PATH",
    "DescribedEntity",
    "DescribedFileGraph",
    "EntityOfOthers",
    "ExportReport",
    "FoundEntity",
    "FoundFile",
    "FoundPassage",
    "FoundPaths",
    "FoundPlace",
    "FoundRelation",
    "Neo4jAway",
    "Passage",
    "SnippetPart",
    "delete_orphaned_graphs",
    "delete_orphaned_passages",
    "delete_unused_merges",
    "describe_entity",
    "describe_file_graph",
    "export_graph",
    "files_to_index",
    "find_paths",
    "is_exported",
    "list_entities",
    "merge",
    "owner_of",
    "owner_rows",
    "queue_extraction",
    "queue_files",
    "rebuild_words",
    "require_entity",
    "search",
    "split",
    "unindexed_count",
    "waiting_count",
]
