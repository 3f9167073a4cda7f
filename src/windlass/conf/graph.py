"""Settings of the graph of entities that depend on each other."""

from __future__ import annotations

import re
from importlib.util import find_spec

from windlass.conf.reader import BadSetting
from windlass.conf.setting_definitions import Settings


def check_graph(settings: Settings) -> None:
    """Raises BadSetting."""
    _check_neo4j(settings.neo4j_url)
    if settings.graph == "http" and not (settings.graph_url and settings.graph_model):
        raise BadSetting("GRAPH=http needs GRAPH_URL, and GRAPH_MODEL with the name of the language model")


def _check_neo4j(url: str) -> None:
    """Raises BadSetting."""
    if not url:
        return
    if not re.fullmatch(r"(?:neo4j|bolt)(?:\+s|\+ssc)?://[^\s@/?#]+", url):
        raise BadSetting(f"NEO4J_URL is {url!r}: it must be like neo4j://host:7687 or neo4j+s://host, without a user")
    if find_spec("neo4j") is None:
        raise BadSetting("NEO4J_URL is set, and the driver is not installed: install windlass[neo4j]")
