"""Facts of a mail message: sender, recipients, subject, date, attachments."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any

from windlass.processing.contract import About, StepContext, StepResult
from windlass.processing.formats.documents.email_message import MailReader, decode_header
from windlass.processing.formats.read_limits import shorten

MOST_NAMES = 100


class EmailFacts:
    """Reads the message part by part, up to 2,000 parts or 256 MB."""

    about = About(
        name="email_facts",
        stage="describe",
        title="Reading the message's facts",
        order=10,
        isolated=True,
        mime_types=("message/rfc822",),
        gives={
            "title": "subject",
            "author": "sender",
            "recipients": "number of addresses in To and Cc",
            "date": "date that the sender gives, in UTC if the time zone is known",
            "attachments": "number of attached parts",
            "attachment_names": "their first 100 names",
            "attachments_cut": "true if the message has more parts than were read",
        },
        libraries=("email.parser", "email.header", "email.utils"),
    )

    def run(self, context: StepContext) -> StepResult:
        mail = MailReader(context.file)
        names, count = [], 0
        for part in mail.parts():
            if part.is_attachment:
                count += 1
                names.append(part.filename)
        facts = _from_headers(mail) | {"attachments": count}
        facts["attachment_names"] = [name for name in names[:MOST_NAMES] if name]
        if mail.cut:
            facts["attachments_cut"] = True
        return StepResult(facts, detail=f"{'at least ' if mail.cut else ''}{count} attachments")


def _from_headers(mail: MailReader) -> dict[str, Any]:
    headers = mail.headers
    people = [str(each)[:65536] for name in ("to", "cc") for each in headers.get_all(name, [])[:50]]
    facts: dict[str, Any] = {"recipients": sum(bool(address) for _, address in getaddresses(people))}
    for fact, name in (("title", "subject"), ("author", "from")):
        value = shorten(decode_header(headers.get(name, "")))
        if value:
            facts[fact] = value
    sent = _date(str(headers.get("date", "")))
    return facts | ({"date": sent} if sent else {})


def _date(header: str) -> str | None:
    try:
        sent: datetime = parsedate_to_datetime(header[:200])
        return (sent.astimezone(UTC) if sent.tzinfo else sent).isoformat(timespec="seconds")
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
