"""The messages of the benchmarks, the same in every run, and the digest that proves they were stored.

Sizes are log-normal with a median of 8 KB and a mean of about 10 KB, as real mail without
attachments has; a third of the messages hold lines that begin with a dot.
"""

import base64
import hashlib
import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator

MEDIAN = 8_000
MEAN = 10_000
SMALLEST, LARGEST = 600, 400_000

_WORDS = re.findall(
    r"\w+",
    """the of and to in a is that for it as was with be by on not he his but at are this have from
    or had an they which one you were all her she there would their we him been has when who will
    no more if out so up said what its about than into them can only other time new some could
    mailbox message delivery server queue invoice meeting attached regards customer order""",
)

# What the programs put into a message they store. mbsync: X-TUID; getmail and fetchmail: the rest.
_ADDED = re.compile(
    rb"^(?:Received|Return-Path|Delivered-To|Envelope-To|X-TUID|X-Getmail-[A-Za-z-]+|"
    rb"Status|X-Status|X-UIDL|X-UID|Content-Length|Lines):[^\n]*\n(?:[ \t][^\n]*\n)*",
    re.MULTILINE | re.IGNORECASE,
)


def letters(count: int, *, seed: int = 1) -> Iterator[bytes]:
    """Make ordinary messages, CRLF at every line's end."""
    dice = random.Random(seed)
    text = _prose(dice)
    # For a log-normal distribution, mean / median = exp(sigma**2 / 2).
    sigma = math.sqrt(2 * math.log(MEAN / MEDIAN))
    for number in range(count):
        size = int(min(max(dice.lognormvariate(math.log(MEDIAN), sigma), SMALLEST), LARGEST))
        head = _head(number, seed)
        start = dice.randrange(len(text) - size)
        body = text[start : start + size - len(head)].replace(b"\n", b"\r\n")[
            : size - len(head)
        ]
        if number % 3 == 0:
            body = body.replace(b"\r\nt", b"\r\n.t")
        yield head + body.rstrip(b"\r") + b"\r\n"


def notes(count: int, *, seed: int = 2) -> Iterator[bytes]:
    """Make the smallest messages that are still messages, for mailboxes that are only looked at."""
    for number in range(count):
        yield _head(number, seed) + b"nothing to see here\r\n"


def parcels(count: int, size: int, *, seed: int = 3) -> Iterator[bytes]:
    """Make messages of `size` octets with one attachment each."""
    coded = base64.b64encode(random.Random(seed).randbytes(57_000))
    block = b"".join(coded[at : at + 76] + b"\r\n" for at in range(0, len(coded), 76))
    body = block * (size // len(block) + 1)
    for number in range(count):
        head = _head(number, seed)
        yield head + body[: size - len(head) - 2] + b"\r\n"


def fingerprint(message: bytes) -> str:
    """Return a digest of what must survive: every octet but line ends and headers a program adds."""
    lines = message.replace(b"\r\n", b"\n")
    head, gap, body = lines.partition(b"\n\n")
    kept = _ADDED.sub(b"", head + b"\n")
    return hashlib.sha256(kept + gap + body.rstrip(b"\n")).hexdigest()


def fingerprints(messages: Iterable[bytes]) -> Counter[str]:
    """Count the digests; two Counters are equal when nothing is lost, doubled or changed."""
    return Counter(map(fingerprint, messages))


def _prose(dice: random.Random) -> bytes:
    """Return about a megabyte of lines, a part of them base64 as attachments are."""
    lines: list[bytes] = []
    while len(lines) < 16_000:
        if dice.random() < 0.01:
            coded = base64.b64encode(dice.randbytes(1710))
            lines += [coded[at : at + 76] for at in range(0, len(coded), 76)]
        lines.append(" ".join(dice.choices(_WORDS, k=dice.randint(0, 14))).encode())
    return b"\n".join(lines)


def _head(number: int, seed: int) -> bytes:
    return (
        f"Message-ID: <{seed}.{number}.{number * 2654435761 % 2**32:08x}@bench.example>\r\n"
        f"Date: Mon, {number % 28 + 1:02} Sep 2025 {number % 24:02}:{number % 60:02}:00 +0000\r\n"
        f"From: Sender {number % 97} <sender{number % 97}@bench.example>\r\n"
        "To: Reader <reader@example.test>\r\n"
        f"Subject: Message {number} about {_WORDS[number % len(_WORDS)]}\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\n"
        f"References: <{number // 2}.ref@bench.example>\r\n"
        "List-Unsubscribe: <https://bench.example/unsubscribe>\r\n"
        "\r\n"
    ).encode()
