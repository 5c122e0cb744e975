"""The invented world of the demo: whose mailboxes these are, who writes, and what is written.

Every letter carries its own number in `X-Demo-Letter`, so that no two have the same octets and
every copy can be told apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from random import Random
from uuid import UUID

DOMAIN = "demo.example"
ELSEWHERE = "elsewhere.example"
PASSWORD = "demo"  # noqa: S105 - of a sandbox on loopback, for as long as the demo runs
USERS = ("ann", "ben", "cleo", "dan", "eva", "finn", "gwen", "hugo", "iris", "jon")
SALES, SUPPORT = f"sales@{DOMAIN}", f"support@{DOMAIN}"
ADDRESSES = (*(f"{user}@{DOMAIN}" for user in USERS), SALES, SUPPORT)
DELETING = SUPPORT
"""The queue whose messages are deleted on the server once they are stored."""
MAIL_GOES_TO = (*ADDRESSES, SALES, SUPPORT, SUPPORT)
"""Queues get more mail than people."""

WRITERS = ("Olivia Ortega", "Pavel Petrov", "Quentin Quill", "Rosa Rossi", "Sven Sørensen")
SUBJECTS = ("An order", "A question", "Delivery on Tuesday", "Grüße aus Köln", "Invoice 4711")
SENTENCES = (
    "Thank you for the quick answer.",
    "The parcel came, but one part is missing.",
    ".A line that begins with a dot must arrive with it.",
    "..And one with two.",
    "Could you call me back before noon?",
    "Ein Gruß mit Umlauten: äöü.",
    "From here on a line looks like an mbox separator.",
)
LARGE_EVERY = 25
LARGE_LINES = 8_000
"""About half a megabyte: larger than one chunk of the store, so that staging is seen too."""


def configuration(directory: Path, socket: Path, *, pop3_port: int, smtp_port: int) -> str:
    """Write the daemon's YAML: a dozen mailboxes on one profile, everything in `directory`."""
    mailboxes = "".join(_mailbox(address) for address in ADDRESSES)
    return f"""\
# Written by `syncd demo`. The sandbox speaks plain text on loopback; real servers never should.
instance: demo
store: {{url: "sqlite:///{directory}/syncd.db"}}
http: {{socket: "{socket}"}}
log: {{level: info, format: json}}
email_settings:
  profile: sandbox
  process_only_approved_users: false
  process_only_approved_queues: false
profiles:
  - name: sandbox
    type: pop3-smtp
    incoming: {_side(pop3_port)}
    outgoing: {_side(smtp_port)}
    credentials: {{source: mailbox}}
    process_email_from: all
    minimum_polling_interval: 10s
    retry: {{first: 2s, longest: 10s, lifetime: 1d}}
mailboxes:
{mailboxes}"""


def _side(port: int) -> str:
    return f"{{server: 127.0.0.1, port: {port}, security: none, allow_plaintext_login: true}}"


def _mailbox(address: str) -> str:
    queue = address in (SALES, SUPPORT)
    lines = [
        f"  - address: {address}",
        f"    type: {'queue' if queue else 'user'}",
        f"    credentials: {{username: {address}, password: {PASSWORD}}}",
    ]
    if address == DELETING:
        lines.append("    delete_after_processing: true")
    return "".join(line + "\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Letter:
    """A message on its way into a maildrop."""

    to: str
    octets: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """A message that the application queues; `key` is its idempotency key."""

    letter: UUID
    mailbox: str
    recipients: tuple[str, ...]
    key: str
    octets: bytes


def new_uuid(dice: Random) -> UUID:
    """Throw a random UUID from these dice, so that a seed repeats a whole demo."""
    return UUID(int=dice.getrandbits(128), version=4)


def write_letter(dice: Random, now: datetime, to: str | None = None) -> Letter:
    """Invent a message from outside, to this mailbox or to any."""
    letter = new_uuid(dice)
    to, writer = to or dice.choice(MAIL_GOES_TO), dice.choice(WRITERS)
    sender = address_of(writer)
    large = dice.randrange(LARGE_EVERY) == 0
    lines = [dice.choice(SENTENCES) for _ in range(LARGE_LINES if large else 12)]
    head = [
        f"Received: from {ELSEWHERE} by sandbox.example; {format_datetime(now)}",
        f"From: {_encoded(writer)} <{sender}>",
        f"To: {to}",
        f"Subject: {_encoded(dice.choice(SUBJECTS))}",
        f"Date: {format_datetime(now - timedelta(seconds=dice.randrange(60)))}",
        f"Message-ID: <{letter}@{ELSEWHERE}>",
        f"X-Demo-Letter: {letter}",
        *_mime(),
    ]
    return Letter(to, _octets(head, lines))


def write_reply(
    dice: Random,
    now: datetime,
    *,
    message_id: int,
    mailbox: str,
    to: str,
    subject: str,
    in_reply_to: str | None,
) -> Reply:
    """Write the application's answer to a stored message; sometimes a colleague gets it too."""
    letter = new_uuid(dice)
    recipients = [to]
    head = [f"From: {mailbox}", f"To: {to}"]
    if dice.randrange(4) == 0:
        colleague = dice.choice([address for address in ADDRESSES if address != mailbox])
        recipients.append(colleague)
        head.append(f"Cc: {colleague}")
    if dice.randrange(8) == 0:
        secretly = address_of("Nosy Nobody")
        recipients.append(secretly)
        head.append(f"Bcc: {secretly}")
    head += [
        f"Subject: {_encoded('Re: ' + subject)}",
        f"Date: {format_datetime(now)}",
        f"Message-ID: <{letter}@{DOMAIN}>",
        f"X-Demo-Letter: {letter}",
        *([f"In-Reply-To: {in_reply_to}"] if in_reply_to else []),
        *_mime(),
    ]
    lines = ["Thank you for your mail.", ".It was read.", dice.choice(SENTENCES)]
    return Reply(
        letter, mailbox, tuple(recipients), f"reply-{message_id}", _octets(head, lines)
    )


def letter_of(octets: bytes) -> UUID | None:
    """Read a letter's number from its header; None where it is none of ours."""
    head = octets.partition(b"\r\n\r\n")[0]
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"x-demo-letter":
            try:
                return UUID(value.strip().decode("ascii", "replace"))
            except ValueError:
                return None
    return None


def address_of(writer: str) -> str:
    """Make an address of an invented name."""
    return f"{writer.split(maxsplit=1)[0].lower()}@{ELSEWHERE}"


def _mime() -> tuple[str, ...]:
    return (
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
    )


def _encoded(text: str) -> str:
    """Write a header's text as an encoded word where it is not ASCII (RFC 2047)."""
    if text.isascii():
        return text
    quoted = "".join(
        chr(octet) if chr(octet).isalnum() and octet < 128 else f"={octet:02X}"
        for octet in text.encode()
    )
    return f"=?utf-8?Q?{quoted}?="


def _octets(head: Sequence[str], lines: Sequence[str]) -> bytes:
    return "".join(line + "\r\n" for line in (*head, "", *lines)).encode()
