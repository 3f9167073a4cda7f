"""Small readers of file formats, with the standard library alone: bounded, and for bytes that nobody vouches for."""
