"""Structure of picture files that libvips does not report."""
