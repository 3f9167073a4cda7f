"""Objects encrypted at rest, over another store (docs/decisions/0030-encryption-at-rest.md)."""
