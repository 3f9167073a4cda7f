from __future__ import annotations

from typing import Any

from django.db import migrations, models

from windlass.files.search_facts import searchable_facts

BATCH = 1000


def fill(apps: Any, schema_editor: Any) -> None:
    """Give each file that is there its searchable facts, in batches."""
    files = apps.get_model('windlass_files', 'FileAsset').objects.using(schema_editor.connection.alias)
    batch = []
    for file in files.only('id', 'extra_attributes').order_by('id').iterator(chunk_size=BATCH):
        file.search_facts = searchable_facts(file.extra_attributes)
        if file.search_facts:
            batch.append(file)
        if len(batch) == BATCH:
            files.bulk_update(batch, ['search_facts'])
            batch = []
    files.bulk_update(batch, ['search_facts'])


class Migration(migrations.Migration):

    dependencies = [
        ('windlass_files', '0014_idempotency_key'),
    ]

    operations = [
        migrations.AddField(
            model_name='fileasset',
            name='search_facts',
            field=models.TextField(blank=True, db_default='', default='', editable=False),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name='fileasset',
            index=models.Index(fields=['owner', 'search_name', 'id'], name='file_of_owner_by_name'),
        ),
        migrations.AddIndex(
            model_name='fileasset',
            index=models.Index(fields=['search_name', 'id'], name='file_by_name'),
        ),
        migrations.AddIndex(
            model_name='fileasset',
            index=models.Index(fields=['owner', 'size', 'id'], name='file_of_owner_by_size'),
        ),
        migrations.AddIndex(
            model_name='fileasset',
            index=models.Index(fields=['size', 'id'], name='file_by_size'),
        ),
    ]
