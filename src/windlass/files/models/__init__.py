from windlass.files.models.account import OwnerAccount
from windlass.files.models.asset import FileAsset, Rendition, StepRun
from windlass.files.models.blob import Blob
from windlass.files.models.retained_object import RetainedObject
from windlass.files.models.upload import UploadChunk, UploadSession

__all__ = [
    "Blob",
    "FileAsset",
    "OwnerAccount",
    "Rendition",
    "RetainedObject",
    "StepRun",
    "UploadChunk",
    "UploadSession",
]
