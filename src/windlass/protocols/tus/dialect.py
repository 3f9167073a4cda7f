"""What is announced. An extension stands here when all of it works."""

from __future__ import annotations

VERSION = "1.0.0"
EXTENSIONS = ("creation", "creation-with-upload", "termination")
