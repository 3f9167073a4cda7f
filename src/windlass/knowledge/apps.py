from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register


class KnowledgeConfig(AppConfig):
    name = "windlass.knowledge"
    label = "windlass_knowledge"
    verbose_name = "Windlass knowledge"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from windlass.files.api import use_entity_graph, use_text_index
        from windlass.knowledge.graph.storing import StoredGraph
        from windlass.knowledge.indexing import PassageIndex
        from windlass.knowledge.system_checks import check_search

        register(check_search)
        use_text_index(PassageIndex())
        use_entity_graph(StoredGraph())
