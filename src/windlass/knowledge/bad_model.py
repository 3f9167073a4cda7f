"""What is raised for a local model that cannot be used; a module of its own, as the model's libraries are optional."""

from __future__ import annotations


class BadModel(ValueError):
    """The files of a local model are no sentence model. The message says why."""
