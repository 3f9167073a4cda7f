"""Objects encrypted at rest, over a store that knows nothing of it (docs/decisions: encryption at rest)."""
