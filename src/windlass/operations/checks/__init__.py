"""The checks of single components: what each tries, and what it is held against."""
