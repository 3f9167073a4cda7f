"""Of what a header says of its key, in bytes."""

ID_LENGTH = 8
PROOF_LENGTH = 16
