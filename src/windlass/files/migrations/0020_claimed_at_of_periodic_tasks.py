"""A process that counts figures says so without changing the time at which they were counted."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('windlass_files', '0019_release_at_of_released_files'),
    ]

    operations = [
        migrations.AddField(
            model_name='periodictaskstate',
            name='claimed_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
