"""What an earlier owner, or an earlier session, left in the middle of sending.

A message whose dot was never allowed to leave goes back as if nothing had been. One that may
have been sent is `outcome_unknown`, and is not touched again before the server's ten minutes
are over (RFC 5321 4.5.3.2.6).
"""

from dataclasses import dataclass

from syncd.errors import Phase
from syncd.model.outgoing import Claimed, Settlement
from syncd.outgoing.conclusion import choose_recipients, conclude
from syncd.outgoing.queue import settle_in
from syncd.outgoing.send import SendWork
from syncd.outgoing.verdict import OutcomeUnknown
from syncd.store import outbox
from syncd.store.database import Transaction
from syncd.store.mailboxes import require_term

LEFT_WORDS = (
    "the answer to the final dot was not recorded: syncd was stopped, or the store failed"
)


@dataclass(frozen=True, slots=True)
class Recovered:
    """How many messages were given back untouched, and how many were possibly sent."""

    released: int
    unknown: int


async def recover(work: SendWork) -> Recovered:
    """Settle every message of a mailbox that is `sending`; call it while no session runs.

    The lease makes sure that no other owner is sending: raises TermLost when it is over.
    """
    if not await work.db.read(lambda reader: outbox.list_sending(reader, work.mailbox.id)):
        return Recovered(0, 0)

    async def settle_left(tx: Transaction) -> tuple[int, list[tuple[Claimed, Settlement]]]:
        await require_term(tx, work.mailbox.id, work.mailbox.term)
        left = await outbox.list_sending(tx, work.mailbox.id)
        await outbox.release(tx, [message for message in left if not message.after_dot_at])
        unknown = [(m, _possibly_sent(work, m)) for m in left if m.after_dot_at]
        for message, settlement in unknown:
            await settle_in(tx, work.mailbox, message, settlement, now)
        return len(left) - len(unknown), unknown

    now = work.clock.now()
    released, unknown = await work.db.write(settle_left, essential=True)
    for message, settlement in unknown:
        work.on_settled(message, settlement)
    return Recovered(released, len(unknown))


def _possibly_sent(work: SendWork, message: Claimed) -> Settlement:
    tried = choose_recipients(message, work.policy)
    return conclude(
        message,
        {recipient.n: OutcomeUnknown(LEFT_WORDS) for recipient in tried},
        work.policy,
        server=work.place,
        phase=Phase.AFTER_DOT,
        now=work.clock.now(),
        dice=work.dice(),
    )
