"""Windlass takes files of any size, checks what they really are, works on them and hands them out safely."""

__version__ = "0.1.0"

#: The Django apps that another project adds to its INSTALLED_APPS.
APPS = ("windlass.events", "windlass.accounts", "windlass.files", "windlass.jobs", "windlass.knowledge")
