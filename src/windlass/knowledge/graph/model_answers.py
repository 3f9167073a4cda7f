"""What a language model has answered about the passages of a file whose extraction has not ended.

A model that goes away, a day's tokens that are used up and a worker that is killed end an extraction in the middle. The
next one goes on from these answers, and asks and pays for none of them again. They are deleted with the file, with its
graph, and when the extraction ends (``StoredGraph.remove``).
"""

from __future__ import annotations

from hashlib import sha256
from uuid import UUID

from windlass.knowledge.models import PassageAnswer

#: What is kept of an answer that is of no use: the model would give it again.
USELESS = ""


class ModelAnswers:
    """Of one file and one model. ``prompt``: what every passage is asked with. ``tokens``: what this file has taken so
    far, also of calls that were never answered."""

    def __init__(self, file_id: UUID, model: str, prompt: str) -> None:
        self._file_id, self._prefix = file_id, f"{model}\0{prompt}\0"
        rows = PassageAnswer.objects.filter(file_id=file_id)
        self.tokens = sum(rows.values_list("tokens", flat=True))
        found = rows.filter(answer__isnull=False).values_list("key", "answer")
        self._answers: dict[str, str] = {key: answer or USELESS for key, answer in found}

    def of(self, passage: str) -> str | None:
        """None if the model has not answered yet."""
        return self._answers.get(self._key(passage))

    def add(self, passage: str, answer: str, tokens: int) -> None:
        """``answer``: in ASCII."""
        self._answers[self._key(passage)] = answer
        self._save(passage, answer, tokens)

    def charge(self, passage: str, tokens: int) -> None:
        """Count a call that was not answered."""
        self._save(passage, None, tokens)

    def forget(self) -> None:
        PassageAnswer.objects.filter(file_id=self._file_id).delete()

    def _save(self, passage: str, answer: str | None, tokens: int) -> None:
        self.tokens += tokens
        row, is_new = PassageAnswer.objects.get_or_create(
            file_id=self._file_id, key=self._key(passage), defaults={"answer": answer, "tokens": tokens}
        )
        if not is_new:
            row.tokens += tokens
            row.answer = answer if answer is not None else row.answer
            row.save(update_fields=["answer", "tokens"])

    def _key(self, passage: str) -> str:
        return sha256((self._prefix + passage).encode()).hexdigest()
