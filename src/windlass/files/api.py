"""The door of the files app: sessions, records, profiles, and how they end."""

from windlass.files import assets, joins, leases, lifecycle, uploads
from windlass.files.assets import IllegalMove, StepOutcome, StepPlan, StoredRendition
from windlass.files.leases import Lease, LeaseLost, UploadCompleted
from windlass.files.models import Blob, FileAsset, Rendition, StepRun, UploadSession
from windlass.files.profiles import Profile, profile, profiles
from windlass.files.states import FileStatus, StepState, UploadStatus
from windlass.files.uploads import NewUpload

__all__ = [
    "Blob",
    "FileAsset",
    "FileStatus",
    "IllegalMove",
    "Lease",
    "LeaseLost",
    "NewUpload",
    "Profile",
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
    "joins",
    "leases",
    "lifecycle",
    "profile",
    "profiles",
    "uploads",
]
