"""Secrets that cannot be printed by accident.

Rule 1: not dataclasses, because `dataclasses.asdict` and `fields` would walk into them.
Rule 2: never pickled: a secret has no business in a file or in another process.
"""

from typing import NoReturn, Self

from syncd.errors import SecretUnreadable

MASK = "***"


class _Hidden:
    """A text that repr, str, format and JSON encoders only ever see as ***."""

    __slots__ = ("_text",)
    _text: str

    def __init__(self, text: str) -> None:
        object.__setattr__(self, "_text", text)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._text == other._text

    def __hash__(self) -> int:
        return hash((type(self), self._text))

    def __repr__(self) -> str:
        return MASK

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


class Secret(_Hidden):
    """A password in clear. Only `reveal()` gives it away."""

    __slots__ = ()

    def reveal(self) -> str:
        """Return the secret itself; call it at the wire, nowhere else."""
        return self._text


class UnreadSecret(Secret):
    """Stands for a secret that only the daemon can read, where a command merely looks."""

    __slots__ = ("_why",)
    _why: str

    def __init__(self, why: str) -> None:
        super().__init__("")
        object.__setattr__(self, "_why", why)

    @property
    def why(self) -> str:
        """Say how it is written, and what keeps this process from reading it."""
        return self._why

    def reveal(self) -> NoReturn:
        """Refuse: it was never read."""
        raise SecretUnreadable(f"this secret can be read by the daemon only: {self._why}")


class SealedSecret(_Hidden):
    """A password as `syncd secret encrypt` wrote it (`v1:…`); the vault opens it."""

    __slots__ = ()

    @property
    def text(self) -> str:
        """The sealed text, for the vault."""
        return self._text
