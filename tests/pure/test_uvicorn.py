"""``windlass.http.server`` derives from classes of uvicorn and uses private names of them. This looks for every one.

When it fails after an upgrade of uvicorn: read what has become of the names that it lists, change
``http/server/uvicorn_protocol.py`` and ``request_cycle.py``, and raise the upper bound in pyproject.toml.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import tomllib
from pathlib import Path

import uvicorn
from uvicorn.protocols.http import flow_control, httptools_impl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from windlass.http.server import request_cycle, uvicorn_protocol

#: Methods that are called or overridden.
METHODS = {
    HttpToolsProtocol: {
        *("_start_asgi_task", "connection_lost", "connection_made", "on_message_begin"),
        *("on_response_complete", "shutdown"),
    },
    RequestResponseCycle: {"receive", "run_asgi", "send"},
    flow_control.FlowControl: {"pause_reading", "resume_reading"},
}
#: Attributes that the constructors set.
PROTOCOL_ATTRIBUTES = {
    *("access_log", "access_logger", "app", "app_state", "client", "config", "connections", "cycle", "flow", "headers"),
    *("logger", "loop", "root_path", "scope", "server_state", "transport"),
}
CYCLE_ATTRIBUTES = {
    *("disconnected", "expected_content_length", "flow", "keep_alive", "message_event", "more_body"),
    *("response_complete", "response_started", "scope", "transport", "waiting_for_100_continue"),
}
CYCLE_ARGUMENTS = {
    *("scope", "transport", "flow", "logger", "access_logger", "access_log", "default_headers", "message_event"),
    *("expect_100_continue", "keep_alive", "on_response"),
}


def set_in_constructor(kind: type) -> set[str]:
    return set(re.findall(r"^        self\.(\w+)", inspect.getsource(kind.__init__), re.MULTILINE))  # type: ignore[misc]


def test_uvicorn_has_every_name_that_the_server_protocol_uses() -> None:
    missing = [
        *(f"{kind.__name__}.{name}()" for kind, names in METHODS.items() for name in names if not hasattr(kind, name)),
        *(f"HttpToolsProtocol.{name}" for name in PROTOCOL_ATTRIBUTES - set_in_constructor(HttpToolsProtocol)),
        *(f"RequestResponseCycle.{name}" for name in CYCLE_ATTRIBUTES - set_in_constructor(RequestResponseCycle)),
        *(
            f"RequestResponseCycle(..., {name})"
            for name in CYCLE_ARGUMENTS ^ (set(inspect.signature(RequestResponseCycle).parameters))
        ),
        *(f"ServerState.{name}" for name in ("default_headers", "total_requests") if not hasattr(ServerState(), name)),
        *([] if hasattr(httptools_impl, "STATUS_LINE") else ["httptools_impl.STATUS_LINE"]),
        *([] if hasattr(flow_control.FlowControl(asyncio.Transport()), "read_paused") else ["FlowControl.read_paused"]),
    ]
    assert not missing, f"uvicorn {uvicorn.__version__} lacks names that windlass.http.server uses: {sorted(missing)}"


def test_the_lists_of_this_test_have_every_name_that_the_code_uses() -> None:
    """Attributes of ``self`` that our two classes neither define nor set are uvicorn's."""
    for module, kind, listed in (
        (uvicorn_protocol, uvicorn_protocol.ReceivingProtocol, METHODS[HttpToolsProtocol] | PROTOCOL_ATTRIBUTES),
        (request_cycle, request_cycle.RequestCycle, METHODS[RequestResponseCycle] | CYCLE_ATTRIBUTES),
    ):
        tree = ast.parse(inspect.getsource(module))
        body = next(each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == kind.__name__)
        attributes = [
            each
            for each in ast.walk(body)
            if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == "self"
        ]
        own = {each.name for each in body.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
        own |= {each.attr for each in attributes if isinstance(each.ctx, ast.Store)}
        assert {each.attr for each in attributes} - own - listed == set()


def test_the_version_of_uvicorn_has_an_upper_bound() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    (requirement,) = (each for each in project["dependencies"] if each.startswith("uvicorn"))
    assert "<" in requirement
