"""Objects in a bucket of Amazon S3 or a compatible store (docs/decisions/0026-s3.md)."""
