"""Why the server closes a WebSocket, as clients see it (RFC 6455, 7.4). From 4000 on they are Windlass's own."""

from enum import IntEnum


class CloseCode(IntEnum):
    NORMAL = 1000  # the client closed it
    NOT_TEXT = 1007  # a message is not UTF-8
    TOO_BIG = 1009  # a message is longer than 4 KiB, or in more than 64 frames
    FAILED = 1011  # an error in the server; it has been logged
    RESTART = 1012  # the server stops; connect again
    UNAVAILABLE = 1013  # the database does not answer; connect again a little later
    CREDENTIAL_ENDED = 4401  # the credential has expired, was revoked, or gives other rights now; sign in again
    TOO_SLOW = 4408  # the client did not take a message within 10 seconds; connect again and resume
