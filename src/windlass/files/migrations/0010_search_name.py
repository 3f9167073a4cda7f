from __future__ import annotations

from typing import Any

import windlass.files.models
from django.db import migrations

from windlass.kernel.filenames import comparable

BATCH = 1000


def fill(apps: Any, schema_editor: Any) -> None:
    """Give each file that is there its searchable name, in batches."""
    files = apps.get_model('windlass_files', 'FileAsset').objects.using(schema_editor.connection.alias)
    batch = []
    for file in files.only('id', 'original_filename').order_by('id').iterator(chunk_size=BATCH):
        file.search_name = comparable(file.original_filename)
        batch.append(file)
        if len(batch) == BATCH:
            files.bulk_update(batch, ['search_name'])
            batch = []
    files.bulk_update(batch, ['search_name'])


class Migration(migrations.Migration):

    dependencies = [
        ('windlass_files', '0009_spare_objects'),
    ]

    operations = [
        migrations.AddField(
            model_name='fileasset',
            name='search_name',
            field=windlass.files.models.SearchName(blank=True, default='', editable=False),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
