"""``python -m windlass`` and the ``windlass`` command."""

from __future__ import annotations


def main() -> None:
    try:
        _run()
    except KeyboardInterrupt:  # also during the import of the commands
        raise SystemExit(130) from None


def _run() -> None:
    from windlass.kernel.garbage_collection import loading

    with loading():
        from windlass.cli import app
        from windlass.cli.errors import CommandError, exit_with_error
        from windlass.conf import BadSetting
        from windlass.operations.backup.errors import BackupError

    try:
        app()
    except (BadSetting, CommandError, BackupError) as error:
        exit_with_error(error)


if __name__ == "__main__":
    main()
