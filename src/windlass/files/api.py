"""The door of the files app: sessions, records, profiles, and how they end."""

from windlass.files import (
    assets,
    chunks,
    direct,
    duplicates,
    integrity,
    joins,
    leases,
    lifecycle,
    moves,
    places,
    quota,
    references,
    repair,
    retention,
    spares,
    trash,
    uploads,
)
from windlass.files.assets import IllegalMove, OwedStep, StepOutcome, StepPlan, StoredRendition
from windlass.files.chunks import ChunkClaim, ClaimedChunk, ClaimLost, ReceivedChunk
from windlass.files.leases import Lease, LeaseLost, UploadCompleted
from windlass.files.media_rules import MediaRules
from windlass.files.models import Blob, FileAsset, Rendition, StepRun, UploadSession
from windlass.files.processing_record import ProcessingRecord
from windlass.files.profiles import Profile, profile, profiles
from windlass.files.states import LIVING_UPLOADS, FileStatus, StepState, UploadStatus
from windlass.files.uploads import NewUpload

__all__ = [
    "LIVING_UPLOADS",
    "Blob",
    "ChunkClaim",
    "ClaimLost",
    "ClaimedChunk",
    "FileAsset",
    "FileStatus",
    "IllegalMove",
    "Lease",
    "LeaseLost",
    "MediaRules",
    "NewUpload",
    "OwedStep",
    "ProcessingRecord",
    "Profile",
    "ReceivedChunk",
    "Rendition",
    "StepOutcome",
    "StepPlan",
    "StepRun",
    "StepState",
    "StoredRendition",
    "UploadCompleted",
    "UploadSession",
    "UploadStatus",
    "assets",
    "chunks",
    "direct",
    "duplicates",
    "integrity",
    "joins",
    "leases",
    "lifecycle",
    "moves",
    "places",
    "profile",
    "profiles",
    "quota",
    "references",
    "repair",
    "retention",
    "spares",
    "trash",
    "uploads",
]
