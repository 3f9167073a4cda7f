"""``python -m windlass`` and the ``windlass`` command."""
