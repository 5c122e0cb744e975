"""`python -m tests.docs.codes` writes deploy/guides/failure-codes.md from what the code knows.

Every code that `last_error` and the alerts show: what it means and what to do.
"""

import sys
from collections.abc import Iterator
from typing import NamedTuple

from syncd.mailboxes.failure_texts import MEANINGS, MESSAGE_TOO_LARGE, TLS_MEANINGS
from syncd.outgoing.verdict import UNNAMED_LOGIN_TROUBLE
from syncd.providers import pop3_texts, smtp_texts
from tests.house.tree import ROOT

PAGE = ROOT / "deploy" / "guides" / "failure-codes.md"

HEAD = """\
# What the codes mean

`last_error.code` of `syncd mailbox show ADDRESS` and the code of an alert are one of these. *Transient* is tried again
by itself; *permanent* stops what the second word names until somebody acts. For a reply to SMTP its first digit decides:
4 is transient, 5 is permanent. Written from the code by `python -m tests.docs.codes`.

| code | lasting, scope | what it means | what to do |
| --- | --- | --- | --- |
"""

# Alerts that are no failures; their texts have the numbers of the case in them.
OF_ALERTS_ALONE = {
    "message_quarantined": (
        "transient, message",
        "A message could not be taken. It stays on the server; the others go on.",
        "`syncd quarantine list` shows it; replay it, or drop it.",
    ),
    "messages_recognised": (
        "information",
        "The server lists messages under new names; they were recognised and not taken twice.",
        "Nothing to do. If it was not expected, ask the provider what was moved.",
    ),
}


class Row(NamedTuple):
    """One line of the page."""

    code: str
    kind: str
    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"| `{self.code}` | {self.kind} | {self.cause} | {self.remedy} |\n"


def rows() -> Iterator[Row]:
    """Collect every code, with each of its causes."""
    for meaning in (*MEANINGS.values(), *TLS_MEANINGS.values(), MESSAGE_TOO_LARGE):
        kind = f"{meaning.lasting}, {meaning.scope}"
        yield Row(meaning.code, kind, meaning.cause, meaning.remedy)
    for known in pop3_texts.RULES:
        yield Row(known.code, f"{known.lasting}, {known.scope}", known.cause, known.remedy)
    for reply in (*smtp_texts.RULES, UNNAMED_LOGIN_TROUBLE):
        later = reply.meaning is smtp_texts.Meaning.LATER
        cause = "The server asks to come back later." if later else reply.cause
        remedy = "It is tried again by itself." if later else reply.remedy
        passes = reply.meaning in {smtp_texts.Meaning.LATER, smtp_texts.Meaning.QUOTA}
        yield Row(reply.name, "transient, mailbox" if passes else "SMTP reply", cause, remedy)
    for code, (kind, cause, remedy) in OF_ALERTS_ALONE.items():
        yield Row(code, kind, cause, remedy)


def page() -> str:
    """Return the page as it has to be."""
    return HEAD + "".join(str(row) for row in sorted(set(rows())))


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} is written\n")
