import django.db.models.deletion
import windlass.django.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('windlass_files', '0014_idempotency_key'),
    ]

    operations = [
        migrations.CreateModel(
            name='Contract',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('file', windlass.django.fields.FileAssetField(db_constraint=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='windlass_files.fileasset')),
            ],
        ),
        migrations.CreateModel(
            name='Note',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('file', windlass.django.fields.FileAssetField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='windlass_files.fileasset')),
            ],
        ),
        migrations.CreateModel(
            name='Product',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100)),
                ('manual', windlass.django.fields.FileAssetField(blank=True, db_constraint=False, must_be_ready=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='windlass_files.fileasset')),
                ('photo', windlass.django.fields.FileAssetField(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.SET_NULL, profile='pictures', related_name='+', to='windlass_files.fileasset')),
            ],
        ),
    ]
