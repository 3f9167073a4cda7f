"""Rules of the package structure that import-linter cannot express."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import windlass

SOURCE = Path(windlass.__file__).parent


@pytest.mark.parametrize("app", ["accounts", "events", "files", "jobs"])
def test_the_api_of_a_records_app_exports_all_of_its_names_and_no_module(app: str) -> None:
    tree = ast.parse((SOURCE / app / "api.py").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert f"windlass.{app}" not in {node.module for node in imports}, "it imports modules of the app"
    ours = [node for node in imports if str(node.module).startswith(f"windlass.{app}.")]
    names = {name.asname or name.name for node in ours for name in node.names}
    names |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    (exported,) = (ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign))
    assert names == set(exported)
