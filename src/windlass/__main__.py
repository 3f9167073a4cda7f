"""``python -m windlass`` and the ``windlass`` command."""

from __future__ import annotations

from windlass.cli import app
from windlass.cli.refusal import Refusal, refuse
from windlass.conf import BadSetting


def main() -> None:
    try:
        app()
    except (BadSetting, Refusal) as error:
        refuse(error)


if __name__ == "__main__":
    main()
