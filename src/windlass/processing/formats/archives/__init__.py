"""Archives and compressed files: what they are, what they unpack to, and what their entries say."""
