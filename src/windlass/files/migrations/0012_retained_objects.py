from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("windlass_files", "0011_metadata_size"),
    ]

    operations = [
        migrations.RenameModel("SpareObject", "RetainedObject"),
        migrations.RenameIndex("RetainedObject", new_name="retained_object_by_end", old_name="spare_by_end"),
        migrations.RemoveConstraint("RetainedObject", "one_spare_per_key"),
        migrations.AddConstraint(
            "RetainedObject",
            models.UniqueConstraint(fields=("store", "key"), name="one_retained_object_per_key"),
        ),
    ]
