"""Public interface of the knowledge app: what is in the files' texts, and the search in it."""

from windlass.knowledge.bad_model import BadModel
from windlass.knowledge.embedders import QueryVector, query_vectors
from windlass.knowledge.embedders import is_on as has_embeddings
from windlass.knowledge.graph.export import (
    ExportReport,
    export_graph,
    is_exported,
    refused_files,
    retry_refused_files,
)
from windlass.knowledge.graph.merges import delete_unused_merges, is_merged, merge, owner_of, split
from windlass.knowledge.graph.neo4j_database import Neo4jAway
from windlass.knowledge.graph.neo4j_database import failed_a_moment_ago as neo4j_failed_a_moment_ago
from windlass.knowledge.graph.paths import FoundPaths, find_paths
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
from windlass.knowledge.graph.similar_names import (
    SIMILARITY,
    SimilarEntities,
    find_similar,
    merge_similar,
    owners_with_entities,
)
from windlass.knowledge.graph.storing import delete_orphaned_graphs
from windlass.knowledge.indexing import delete_orphaned_passages, rebuild_words
from windlass.knowledge.model_endpoint import ModelAway, ModelRefused
from windlass.knowledge.models import Passage
from windlass.knowledge.owner_data import owner_rows
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
from windlass.knowledge.search import FoundFile, FoundPassage, passages_of_file, search
from windlass.knowledge.snippets import SnippetPart
from windlass.knowledge.text_search import forget_deleted_words
from windlass.knowledge.vectors import vectors_available

__all__ = [
    "SIMILARITY",
    "BadModel",
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
    "ModelAway",
    "ModelRefused",
    "Neo4jAway",
    "Passage",
    "QueryVector",
    "SimilarEntities",
    "SnippetPart",
    "delete_orphaned_graphs",
    "delete_orphaned_passages",
    "delete_unused_merges",
    "describe_entity",
    "describe_file_graph",
    "export_graph",
    "files_to_embed",
    "files_to_index",
    "find_paths",
    "find_similar",
    "forget_deleted_words",
    "has_embeddings",
    "is_exported",
    "is_merged",
    "list_entities",
    "merge",
    "merge_similar",
    "neo4j_failed_a_moment_ago",
    "owner_of",
    "owner_rows",
    "owners_with_entities",
    "passages_of_file",
    "query_vectors",
    "queue_embedding",
    "queue_extraction",
    "queue_files",
    "rebuild_words",
    "refused_files",
    "require_entity",
    "retry_refused_files",
    "search",
    "split",
    "unembedded_count",
    "unindexed_count",
    "vectors_available",
    "waiting_count",
    "waiting_for_vectors",
]
