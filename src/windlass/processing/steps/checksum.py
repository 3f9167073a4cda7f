"""Compute the SHA-256 of the file and compare it with the expected one."""

from __future__ import annotations

import hashlib

from windlass.processing.contract import About, Rejection, StepContext, StepResult, TransientError

BLOCK_SIZE = 1024 * 1024


class Checksum:
    """Reads the file, unless the receiver has computed the digest already. Parses nothing."""

    about = About(
        name="checksum",
        stage="intake",
        title="Computing the checksum",
        order=20,
        isolated=False,
        weight=4,
        gives={"checksum": "SHA-256, hexadecimal"},
    )

    def run(self, context: StepContext) -> StepResult:
        known: str | None = context.facts.get("checksum")
        digest = known or _digest(context)
        expected: str | None = context.facts.get("expected_sha256")
        verdict = None
        if expected and expected.lower() != digest:
            detail = f"The bytes have the SHA-256 {digest}; {expected.lower()} was announced."
            verdict = Rejection("checksum", detail, expected.lower(), digest)
        comparison = "as announced" if expected else "none was announced"
        return StepResult({"checksum": digest}, verdict=verdict, detail="" if verdict else f"SHA-256, {comparison}")


def _digest(context: StepContext) -> str:
    size: int = context.facts["size"]
    digest, read = hashlib.sha256(), 0
    while block := context.file.read(BLOCK_SIZE):
        digest.update(block)
        read += len(block)
        context.report(100 * read // max(size, 1))
    if read != size:
        raise TransientError(f"The store gave {read} of {size} bytes.")
    return digest.hexdigest()
