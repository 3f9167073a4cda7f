"""Objects encrypted at rest, over another store (docs/decisions/0030-encryption-at-rest.md)."""

#: Bytes of a key's id and of an authentication code in the header of an object.
ID_LENGTH, MAC_LENGTH = 8, 16
