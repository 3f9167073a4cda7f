"""Text, markup, JSON, XML and tables: encodings, kinds and counts."""
