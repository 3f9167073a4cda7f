"""The export of the graph to Neo4j: whether it goes on, and which files Neo4j refuses."""

from __future__ import annotations

from django.apps import apps

from windlass.operations.checks.check import CheckState, Finding


def check_graph_export() -> Finding:
    """The server is ready without Neo4j: nothing waits for it."""
    if not apps.is_installed("windlass.knowledge"):
        return Finding("windlass.knowledge is not installed.", CheckState.OFF)
    from windlass.knowledge import api as knowledge

    if not knowledge.is_exported():
        return Finding("NEO4J_URL is not set.", CheckState.OFF)
    if knowledge.neo4j_failed_a_moment_ago():
        return Finding("Neo4j is away: it gets what has changed when it is back.", CheckState.IMPAIRED)
    refused = knowledge.refused_files().count()
    if refused:
        detail = f"Neo4j refuses {refused} files, which are tried again: `windlass graph export` tells why."
        return Finding(detail, CheckState.IMPAIRED, "0 refused")
    return Finding("It is exported.", limit="0 refused")
