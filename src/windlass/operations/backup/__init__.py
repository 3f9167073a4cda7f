"""Back up the database and the objects that it names, restore them, and verify backups."""
