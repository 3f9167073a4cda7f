"""The options of one S3 store: address, credentials, size and number of parts, memory, timeout and retries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from windlass.conf import Settings

MIB = 1024 * 1024
GIB = 1024 * MIB

#: Limits of the protocol: minimum size of every part but the last, maximum number of parts of an object.
MIN_PART_SIZE = 5 * MIB
MAX_PARTS = 10_000

Checksum = Literal["crc32", "md5"]


@dataclass(frozen=True, slots=True)
class Options:
    """The settings of one S3 store. Picklable, so that another process can open the same store."""

    bucket: str
    access_key: str = ""
    secret_key: str = ""
    session_token: str = ""
    region: str = ""
    endpoint: str = ""
    public_endpoint: str = ""
    addressing: str = "auto"
    prefix: str = ""
    part_size: int = 8 * MIB
    max_parts: int = MAX_PARTS
    buffer: int = 64 * MIB
    checksum: Checksum = "crc32"
    forms: bool = True
    encryption: str = ""
    kms_key: str = ""
    timeout: float = 20.0
    attempts: int = 4

    @classmethod
    def from_settings(cls, settings: Settings) -> Options:
        prefix = settings.aws_location.strip("/")
        return cls(
            bucket=settings.aws_storage_bucket_name,
            access_key=settings.aws_access_key_id,
            secret_key=settings.aws_secret_access_key,
            session_token=settings.aws_session_token,
            region=settings.aws_s3_region_name,
            endpoint=settings.aws_s3_endpoint_url,
            public_endpoint=settings.aws_s3_public_endpoint_url,
            addressing=settings.aws_s3_addressing_style,
            prefix=f"{prefix}/" if prefix else "",
            part_size=settings.aws_s3_part_size_mb * MIB,
            max_parts=settings.aws_s3_max_parts,
            buffer=settings.aws_s3_buffer_mb * MIB,
            checksum=settings.aws_s3_checksum,
            forms=settings.aws_s3_forms,
            encryption=settings.aws_s3_server_side_encryption,
            kms_key=settings.aws_s3_kms_key_id,
            timeout=settings.aws_s3_timeout_seconds,
            attempts=settings.aws_s3_max_attempts,
        )

    def part_size_for(self, at_most: int | None) -> int:
        """Return the size of all parts of an object, large enough that ``max_parts`` of them hold ``at_most`` bytes."""
        needed = -(-(at_most or 0) // self.max_parts)
        return max(self.part_size, -(-needed // MIB) * MIB)
