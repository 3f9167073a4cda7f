"""``python -m windlass`` and the ``windlass`` command."""

from __future__ import annotations


def main() -> None:
    try:
        _run()
    except KeyboardInterrupt:  # also while the commands are imported
        raise SystemExit(130) from None


def _run() -> None:
    from windlass.cli import app
    from windlass.cli.refusal import Refusal, refuse
    from windlass.conf import BadSetting

    try:
        app()
    except (BadSetting, Refusal) as error:
        refuse(error)


if __name__ == "__main__":
    main()
