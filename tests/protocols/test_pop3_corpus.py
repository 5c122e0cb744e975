"""Every message of the corpus through the POP3 session, however its bytes are cut (faults 55).

The octets are taken as they are, bare LF, bare CR and NUL included; a final CRLF is added where it is
missing, because no POP3 server could hand out a message without it.
"""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.protocols.pop3_commands import Verb, retrieve, single
from syncd.protocols.pop3_replies import Capabilities
from syncd.protocols.pop3_session import Chunk, Ended, Message, Pop3Session, SessionLimits

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
SHORT = 3000  # octets; longer ones are not fed one by one: minutes, and nothing new

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus beside the project"),
]


def messages() -> list[bytes]:
    index = (CORPUS / "INDEX.tsv").read_text("utf-8").splitlines()[1:]
    bodies = [(CORPUS / line.split("\t")[0]).read_bytes() for line in index]
    return [body if body.endswith(b"\r\n") else body + b"\r\n" for body in bodies]


def on_the_wire(message: bytes) -> bytes:
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    first = b"." if message.startswith(b".") else b""
    return b"+OK %d octets\r\n" % len(message) + first + stuffed + b".\r\n"


def pieces(wire: bytes, dice: random.Random | None) -> Iterator[bytes]:
    """Cut a stream: at random, or (no dice) behind every octet."""
    start = 0
    while start < len(wire):
        step = dice.choice([1, 2, 3, 5, 80, 1000, 16_384, 262_144]) if dice else 1
        yield wire[start : start + step]
        start += step


def retrieved(sent: list[bytes], cuts: Iterator[bytes]) -> list[str]:
    """Ask for all, feed the pieces, and return the digest of each message that came out."""
    session = Pop3Session(SessionLimits(window_commands=10**6, window_octets=10**12))
    session.capabilities = Capabilities({"PIPELINING": ()})
    session.receive(b"+OK\r\n")
    session.ask(single(Verb.PASS, "secret"))
    session.bytes_to_send()
    session.receive(b"+OK\r\n")
    session.ask(*(retrieve(n, len(body)) for n, body in enumerate(sent, 1)))
    session.bytes_to_send()
    digests = []
    running = hashlib.sha256()
    for piece in cuts:
        for event in session.receive(piece):
            match event:
                case Message(body=octets) | Chunk(data=octets):
                    running.update(octets)
                case _:
                    assert isinstance(event, Ended)
            if isinstance(event, Message | Ended):
                digests.append(running.hexdigest())
                running = hashlib.sha256()
    return digests


@pytest.mark.parametrize("seed", range(5))
def test_the_corpus_comes_out_octet_for_octet_however_it_is_cut(seed: int) -> None:
    sent = messages()
    wire = b"".join(map(on_the_wire, sent))
    got = retrieved(sent, pieces(wire, random.Random(seed)))
    assert got == [hashlib.sha256(body).hexdigest() for body in sent]


def test_the_short_messages_of_the_corpus_come_out_fed_octet_by_octet() -> None:
    sent = [body for body in messages() if len(body) <= SHORT]
    assert len(sent) > 500
    wire = b"".join(map(on_the_wire, sent))
    assert retrieved(sent, pieces(wire, None)) == [hashlib.sha256(b).hexdigest() for b in sent]
