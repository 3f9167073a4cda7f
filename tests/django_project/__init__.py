"""A small Django project with Windlass, whose own tests test ``windlass.django`` and ``windlass.testing``.

tests/process/test_django_project.py runs them.
"""
