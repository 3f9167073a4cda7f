"""``windlass mcp``: give an assistant the files of a server to read, over the Model Context Protocol."""

from __future__ import annotations

from importlib.util import find_spec

from windlass.cli.errors import CommandError
from windlass.cli.server_connection import ServerOption, TokenOption, server_and_token


def mcp(server: ServerOption = None, token: TokenOption = None) -> None:
    """Serve tools for assistants on standard input and output: search, read_text, list_files, describe_file.

    They read what the token may read, and change nothing. Needs the extra `mcp`.
    """
    if find_spec("mcp") is None:
        raise CommandError("the protocol's library is not installed: install windlass[mcp]")
    import anyio

    from windlass.cli.assistant_tools import assistant_server
    from windlass.client import AsyncClient

    url, secret = server_and_token(server, token)

    async def serve() -> None:
        async with AsyncClient(url, secret) as client:
            await assistant_server(client).run_stdio_async()

    anyio.run(serve)
