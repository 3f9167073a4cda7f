"""Objects in a bucket of Amazon S3 or anything like it, each made of parts of one size (docs/decisions: S3)."""
