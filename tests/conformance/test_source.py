"""What every mail source does, whatever is spoken to the server (`seams.MailSource`).

Each test runs against each kind of source and each server it can be had with; IMAP joins here.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest

from syncd.clock import SystemClock
from syncd.connections.budget import ByteBudget
from syncd.connections.pop3 import CapabilityMemory, open_pop3
from syncd.connections.seams import Fetched, MailSource, UnlockedLogin
from syncd.errors import LoginRefused, ServerError
from syncd.model.mail import CHUNK_OCTETS, Listed
from syncd.model.secret import Secret
from tests.servers.dovecot import Dovecot
from tests.servers.fixtures import (
    NewUser,
    authority,
    dovecot,
    new_user,
    servers_root,
)
from tests.support.pop3_client import LIMITS, pop3_endpoint
from tests.support.sandbox import sandbox_running

__all__ = ["authority", "dovecot", "new_user", "servers_root"]

LETTERS = [
    b"Subject: first\r\nX-Note: kept\r\n\r\nbody\r\n",
    b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n",
    b"Subject: large\r\n\r\n" + b".a line of a large message\r\n" * (CHUNK_OCTETS // 10),
    b"Subject: 8 bit\r\n\r\n\xff\xfe \r\n",
    b"Subject: last\r\n\r\n",
]


@dataclass(frozen=True, slots=True)
class House:
    """A server with one maildrop."""

    deliver: Callable[[bytes], object]
    held: Callable[[], list[bytes]]
    log_in: Callable[[str], Awaitable[MailSource]]
    budget: ByteBudget


def pop3_login(
    port: int, username: str, budget: ByteBudget, until: AsyncExitStack
) -> Callable[[str], Awaitable[MailSource]]:
    memory = CapabilityMemory(SystemClock())

    async def log_in(password: str) -> MailSource:
        login = UnlockedLogin(username=username, password=Secret(password))
        source = await open_pop3(
            pop3_endpoint(port), login, limits=LIMITS, budget=budget, memory=memory
        )
        until.callback(source.abort)
        return source

    return log_in


@pytest.fixture(
    params=["POP3, sandbox", pytest.param("POP3, Dovecot", marks=[pytest.mark.servers, pytest.mark.root])]
)  # fmt: skip
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    budget = ByteBudget(2**26)
    async with AsyncExitStack() as until:
        if request.param == "POP3, sandbox":
            sandbox = await until.enter_async_context(sandbox_running())
            drop = sandbox.open("ann@sandbox.example", "sesame")
            yield House(
                deliver=lambda body: sandbox.deposit(drop.address, body),
                held=lambda: [mail.body for mail in drop.mails],
                log_in=pop3_login(sandbox.pop3_port, drop.username, budget, until),
                budget=budget,
            )
        else:
            server: Dovecot = request.getfixturevalue("dovecot")
            make: NewUser = request.getfixturevalue("new_user")
            user = make()
            yield House(
                deliver=lambda body: server.deliver(user, body),
                held=lambda: server.maildrop(user),
                log_in=pop3_login(server.ports.pop3, user.address, budget, until),
                budget=budget,
            )
    assert budget.used == 0, "what was read and not taken is given back"


@pytest.fixture
def letters(house: House) -> list[bytes]:
    for letter in LETTERS:
        house.deliver(letter)
    return LETTERS


async def whole(fetched: Fetched) -> bytes:
    if fetched.chunks is not None:
        assert fetched.body is None
        return b"".join([chunk async for chunk in fetched.chunks])
    assert fetched.body is not None
    assert len(fetched.body) <= CHUNK_OCTETS
    return fetched.body


async def test_an_empty_maildrop_lists_nothing(house: House) -> None:
    source = await house.log_in("sesame")
    assert await source.list_all() == []
    assert await source.list_range(1, 0) == []
    assert (await source.glance(None)).status.count == 0
    assert [batch async for batch in source.fetch([])] == []
    assert [batch async for batch in source.heads([])] == []
    assert await source.delete([]) == []
    assert await source.quit()


async def test_a_listing_names_every_message_once_in_order(
    house: House, letters: list[bytes]
) -> None:
    source = await house.log_in("sesame")
    listed = await source.list_all()
    assert [m.number for m in listed] == [1, 2, 3, 4, 5]
    assert len({m.uid for m in listed}) == 5
    assert all(m.uid for m in listed)
    assert [m.octets for m in listed] == [len(letter) for letter in letters]
    assert source.can_list_uids
    assert await source.quit()


@pytest.mark.usefixtures("letters")
async def test_a_message_has_the_same_uid_in_every_session(house: House) -> None:
    first = await house.log_in("sesame")
    listed = await first.list_all()
    await first.quit()
    second = await house.log_in("sesame")
    assert await second.list_all() == listed
    await second.quit()


@pytest.mark.usefixtures("letters")
async def test_a_tail_is_listed_like_the_whole(house: House) -> None:
    source = await house.log_in("sesame")
    listed = await source.list_all()
    assert await source.list_range(4, 5) == listed[3:]
    assert await source.list_range(5, 7) == listed[4:]
    await source.quit()


async def test_a_glance_sees_count_octets_and_one_uid(
    house: House, letters: list[bytes]
) -> None:
    source = await house.log_in("sesame")
    listed = await source.list_all()
    glance = await source.glance(5)
    assert (glance.status.count, glance.status.octets) == (5, sum(map(len, letters)))
    assert glance.uid == listed[4].uid
    assert (await source.glance(6)).uid is None
    await source.quit()


async def test_every_message_comes_octet_for_octet_in_the_order_asked_for(
    house: House, letters: list[bytes]
) -> None:
    source = await house.log_in("sesame")
    listed = await source.list_all()
    wanted = [listed[number] for number in (4, 2, 0, 1, 3, 2)]
    got = []
    async for batch in source.fetch(wanted):
        for fetched in batch:
            assert fetched.chunks is None or fetched is batch[-1]
            got.append((fetched.listed, hashlib.sha256(await whole(fetched)).hexdigest()))
    digests = [hashlib.sha256(letters[m.number - 1]).hexdigest() for m in wanted]
    assert got == list(zip(wanted, digests, strict=True))
    assert await source.quit()


async def test_header_sections_come_without_the_bodies(
    house: House, letters: list[bytes]
) -> None:
    source = await house.log_in("sesame")
    listed = await source.list_all()
    heads = [head async for batch in source.heads(listed) for head in batch]
    assert [head.listed for head in heads] == listed
    for head, letter in zip(heads, letters, strict=True):
        assert head.header is not None
        assert head.header.rstrip() == letter.partition(b"\r\n\r\n")[0]
    await source.quit()


@pytest.mark.usefixtures("letters")
async def test_a_message_that_is_not_there_stops_only_itself(house: House) -> None:
    source = await house.log_in("sesame")
    listed = await source.list_all()
    missing = replace(listed[0], number=99)
    fetched = [
        item async for batch in source.fetch([listed[0], missing, listed[1]]) for item in batch
    ]
    assert [item.refusal is None for item in fetched] == [True, False, True]
    heads = [item async for batch in source.heads([missing, listed[1]]) for item in batch]
    assert [item.refusal is None for item in heads] == [False, True]
    assert await source.delete([missing]) == [missing]
    assert await source.quit()


async def test_deleting_takes_effect_with_quit(house: House, letters: list[bytes]) -> None:
    source = await house.log_in("sesame")
    listed = await source.list_all()
    assert await source.delete(listed[1:4]) == []
    assert house.held() == letters
    assert await source.quit()
    assert house.held() == [letters[0], letters[4]]


async def test_dropping_the_connection_deletes_nothing(
    house: House, letters: list[bytes]
) -> None:
    source = await house.log_in("sesame")
    assert await source.delete(await source.list_all()) == []
    source.abort()
    again = await house.log_in("sesame")
    assert len(await again.list_all()) == 5
    await again.quit()
    assert house.held() == letters


@pytest.mark.usefixtures("letters")
async def test_stopping_in_the_middle_of_a_batch_leaves_a_usable_session(house: House) -> None:
    source = await house.log_in("sesame")
    listed = await source.list_all()
    async for _ in source.fetch(listed * 20):
        break
    assert (await source.glance(1)).uid == listed[0].uid
    async for _ in source.heads(listed * 20):
        break
    assert await source.list_all() == listed
    assert await source.quit()


async def test_a_wrong_password_is_a_refused_login(house: House) -> None:
    with pytest.raises(LoginRefused) as refused:
        await house.log_in("open simsim")
    assert "simsim" not in str(refused.value)


async def test_after_the_end_nothing_more_is_possible(house: House) -> None:
    source = await house.log_in("sesame")
    assert await source.quit()
    with pytest.raises(ServerError):
        await source.glance(None)
    with pytest.raises(ServerError):
        await anext(source.fetch([Listed(1, "uid", 1)]))
    assert not await source.quit()
    source.abort()
