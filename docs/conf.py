"""Build the documentation as a site with Sphinx and MyST: ``make site`` writes it to build/site."""

from __future__ import annotations

import os
from importlib import metadata
from typing import TYPE_CHECKING

import django
from pygments.lexers.special import TextLexer

if TYPE_CHECKING:
    from sphinx.application import Sphinx

# Pages about Python modules are made from their docstrings, which needs Django's apps.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "windlass.settings")
django.setup()

project = "Windlass"
author = "Windlass contributors"
release = version = metadata.version("windlass")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
root_doc = "index"
# index.md contains README.md, which is for readers of the tree.
exclude_patterns = ["README.md"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "description"
copybutton_prompt_text = "$ "

html_theme = "furo"
html_title = "Windlass"
html_logo = html_favicon = "../src/windlass/web/static/windlass/windlass.svg"
html_copy_source = False


def setup(app: Sphinx) -> None:
    app.add_lexer("output", TextLexer)  # what a command prints
