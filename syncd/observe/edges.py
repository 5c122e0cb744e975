"""The named edges of the commit story, at which tests kill the process.

`reached("…")` does nothing unless SYNCD_KILL_AT names that edge: then the process dies by
SIGKILL the n-th time it comes by (`SYNCD_KILL_AT=incoming.committed:3`). Every place where a
crash would matter is one of `EDGES`; tests walk n = 1, 2, 3 … over each until a run passes
without dying, as SQLite's own tests do.
"""

import os
import signal

EDGES = (
    "incoming.fetched",  # bytes are here, nothing is stored
    "incoming.staged",  # a chunk of a large message is committed, the message is not
    "incoming.recording",  # in the transaction, before its commit
    "incoming.committed",  # stored; the server's copy not yet marked
    "incoming.deleted",  # DELE was answered, QUIT not sent
    "incoming.quitting",  # QUIT sent, its answer not read
    "incoming.quit",  # the server deleted; not yet noted
    "outgoing.enqueued",  # committed, the application has no answer yet
    "outgoing.claimed",  # `sending` is committed, nothing was said to the server
    "outgoing.enveloped",  # MAIL and RCPT answered
    "outgoing.before_dot",  # body sent, `after_dot` not committed
    "outgoing.after_dot_committed",  # `after_dot` committed, the dot not sent
    "outgoing.dot_sent",  # the dot is on its way, no answer read
    "outgoing.answered",  # the answer is here, not committed
    "outgoing.settled",  # the answer is committed
)


class _Fuse:
    """Counts down the passes over the one edge that was named."""

    __slots__ = ("edge", "left")

    def __init__(self, wish: str) -> None:
        edge, _, count = wish.partition(":")
        if wish and edge not in EDGES:
            raise SystemExit(f"SYNCD_KILL_AT={wish}: no such edge; known: {', '.join(EDGES)}")
        self.edge = edge
        self.left = int(count or "1")


_fuse = _Fuse(os.environ.get("SYNCD_KILL_AT", ""))


def reached(edge: str) -> None:
    """Note that the process stands at `edge`; die here if a test asked for it."""
    if edge != _fuse.edge:
        return
    _fuse.left -= 1
    if _fuse.left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
