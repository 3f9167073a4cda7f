"""Give the columns of 0003 their defaults in databases that applied 0003 when it set none.

Processes of the version before do not name these columns in an INSERT. 0003 sets the defaults itself by now, because
between two migrations such processes would fail.
"""

from typing import Any

from django.db import migrations
from django.db.models import NOT_PROVIDED

COLUMNS = {"Job": ("retries", "dead_step", "dead_error_class"), "Attempt": ("retry", "request_id")}


def set_missing_defaults(apps: Any, schema_editor: Any) -> None:
    for model_name, names in COLUMNS.items():
        model = apps.get_model("windlass_jobs", model_name)
        with schema_editor.connection.cursor() as cursor:
            columns = schema_editor.connection.introspection.get_table_description(cursor, model._meta.db_table)
        without_default = {column.name for column in columns if column.default is None}
        for name in names:
            if name in without_default:
                field = model._meta.get_field(name)
                as_applied = field.clone()
                as_applied.db_default = NOT_PROVIDED
                as_applied.set_attributes_from_name(name)
                as_applied.model = model
                schema_editor.alter_field(model, as_applied, field)


class Migration(migrations.Migration):
    dependencies = [("windlass_jobs", "0005_trace_context")]

    operations = [migrations.RunPython(set_missing_defaults, migrations.RunPython.noop, elidable=True)]
