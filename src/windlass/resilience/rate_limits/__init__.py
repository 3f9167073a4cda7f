"""Rate limits: how many calls of a kind one client may make. See docs/decisions/0064-rate-limits.md."""
