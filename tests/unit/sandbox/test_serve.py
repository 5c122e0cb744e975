"""The sandbox as a program, and its script of misbehaviour."""

import asyncio
import json
import math
import os
import poplib
import signal
from pathlib import Path

import pytest

from syncd.errors import Refused
from syncd.sandbox.misbehaviour import (
    Cut,
    Delay,
    Flood,
    Hide,
    Inject,
    Instead,
    Misbehaviour,
)
from syncd.sandbox.script import read_script
from syncd.sandbox.serve import PASSWORD, Announcer, Wishes, serve, serve_until_told
from syncd.sandbox.server import Settings
from syncd.sandbox.witness import Service
from tests.support.sandbox import sandbox_running


def test_a_script_is_read_into_rules() -> None:
    text = """[
      {"on": "RETR", "do": "cut", "after": 500, "times": 3, "service": "pop3"},
      {"on": "RCPT", "do": "instead", "words": "450 4.7.1 later", "each": true},
      {"on": "DOT", "do": "delay", "seconds": Infinity},
      {"on": "STLS", "do": "inject", "raw": "+OK \\u00ff\\r\\n"},
      {"on": "UIDL", "do": "flood", "line": "1 x\\r\\n"},
      {"on": "CAPA", "do": "hide", "names": ["STLS"]}
    ]"""
    assert read_script(text) == [
        Misbehaviour(on="RETR", act=Cut(500), times=3, service=Service.POP3),
        Misbehaviour(on="RCPT", act=Instead("450 4.7.1 later"), each=True),
        Misbehaviour(on="DOT", act=Delay(math.inf)),
        Misbehaviour(on="STLS", act=Inject(b"+OK \xff\r\n")),
        Misbehaviour(on="UIDL", act=Flood(line=b"1 x\r\n")),
        Misbehaviour(on="CAPA", act=Hide(frozenset({"STLS"}))),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "script: not JSON"),
        ("{}", "script: a list of rules"),
        ("[1]", "rule 1: an object"),
        ('[{"on": "RETR", "do": "explode"}]', "rule 1: `do` is one of drop, cut"),
        ('[{"do": "drop"}]', "rule 1: .*'on'"),
        ('[{"on": "RETR", "do": "drop", "sometimes": 1}]', "rule 1: .*'sometimes'"),
        ('[{"on": "RETR", "do": "drop", "service": "imap"}]', "rule 1: `service` is one of"),
    ],
)
def test_a_script_that_makes_no_sense_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(Refused, match=complaint):
        read_script(text)


async def test_the_program_says_where_it_listens_and_ends_when_told(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text('[{"on": "STAT", "do": "instead", "words": "-ERR no"}]')
    said: list[dict[str, object]] = []

    def look_in() -> str:
        where = next(line for line in said if line["event"] == "listening")
        client = poplib.POP3("127.0.0.1", int(str(where["pop3"])), timeout=10)
        client.user("box1@sandbox.example")
        client.pass_(PASSWORD)
        with pytest.raises(poplib.error_proto) as refused:
            client.stat()
        client.quit()
        return str(refused.value)

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        listening = asyncio.Event()

        def say(line: str) -> None:
            said.append(json.loads(line))
            listening.set()

        wishes = Wishes(settings=Settings(), script=script, json=True, mailboxes=1)
        program = tasks.create_task(serve_until_told(wishes, say))
        await listening.wait()
        assert "no" in await asyncio.to_thread(look_in)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await program == 0
    assert {
        "event": "mailbox",
        "username": "box1@sandbox.example",
        "password": PASSWORD,
    } in said
    assert "logged in" in {line["event"] for line in said}


async def test_what_cannot_be_read_or_had_is_refused_by_name(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    silent = Announcer(lambda _: None, as_json=False)
    async with sandbox_running() as other:
        taken = Settings(pop3_port=other.pop3_port)
        for wishes, field in (
            (Wishes(settings=Settings(), script=absent), "script"),
            (Wishes(settings=Settings(), certificate=absent), "certificate"),
            (Wishes(settings=taken), "port"),
        ):
            with pytest.raises(Refused) as refused:
                await serve(wishes, silent)
            assert refused.value.field == field
