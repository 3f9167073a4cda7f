"""Ninja's static files and templates, which its page of the API needs, without importing Ninja when Django starts."""

from __future__ import annotations

from importlib.util import find_spec

from django.apps import AppConfig


class NinjaFiles(AppConfig):
    name = "windlass.web.ninja_files"
    label = "ninja"
    path = next(iter(getattr(find_spec("ninja"), "submodule_search_locations", None) or [""]))
