"""What a login must not let be said: the password and its proofs, in whatever servers repeat.

Servers echo commands they do not understand, and their words go to logs, alerts and status.
"""

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager

from syncd.connections.seams import UnlockedLogin
from syncd.errors import ServerError, one_line

MASK = "***"

_SHORTEST_REST = 4
"""Characters of a secret that count as its beginning, where the words are cut off after them."""

_DIGEST = re.compile(rb"[0-9a-f]{32}\Z")


class Unsaid:
    """The secrets of one login; more of them become known as it is proved."""

    def __init__(self, login: UnlockedLogin) -> None:
        password = login.password.reveal()
        whole = "\0".join((login.authorize_as or "", login.username, password))
        self._secrets: set[str] = set()
        self._add(password)
        # As `one_line` leaves it, and as somebody who takes UTF-8 for Latin-1 reads it.
        self._add(one_line(password))
        self._add(one_line(password.encode().decode("latin-1")))
        self._add(_in_base64(password.encode()))
        self._add(_in_base64(whole.encode()))

    def note(self, proof: bytes) -> None:
        """Remember a response to a challenge: its base64, and the digest it may end with."""
        self._add(_in_base64(proof))
        if found := _DIGEST.search(proof):
            self._add(found[0].decode("ascii"))

    def blank(self, words: str) -> str:
        """Blank out every secret, also one of which only the beginning is left at the end."""
        if not self._secrets:
            return words
        longest_first = sorted(self._secrets, key=len, reverse=True)
        words = re.sub(
            "|".join(map(re.escape, longest_first)), MASK, words, flags=re.IGNORECASE
        )
        for secret in longest_first:
            for length in range(len(secret) - 1, _SHORTEST_REST - 1, -1):
                if words.endswith(secret[:length]):
                    return words[:-length] + MASK
        return words

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Let no error out of here that repeats a secret, nor what it was made from."""
        try:
            yield
        except ServerError as error:
            error.reword(self.blank(error.words))
            raise error from None

    def _add(self, secret: str) -> None:
        if secret:
            self._secrets.add(secret)


def _in_base64(text: bytes) -> str:
    return base64.b64encode(text).decode("ascii")
