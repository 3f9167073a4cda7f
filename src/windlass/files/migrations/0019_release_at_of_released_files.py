"""Released files have no ``release_at``, so that the sweep does not come across them again."""

from __future__ import annotations

from typing import Any

from django.db import migrations


def clear(apps: Any, schema_editor: Any) -> None:
    files = apps.get_model('windlass_files', 'FileAsset').objects.using(schema_editor.connection.alias)
    files.filter(release_at__isnull=False, status='RELEASED').update(release_at=None)


class Migration(migrations.Migration):

    dependencies = [
        ('windlass_files', '0018_indexes_of_lists_and_sweeps'),
    ]

    operations = [
        migrations.RunPython(clear, migrations.RunPython.noop),
    ]
