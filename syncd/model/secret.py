"""Secrets that cannot be printed by accident."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A password in clear. Only `reveal()` gives it away; repr, str and format give ***."""

    _value: str

    def reveal(self) -> str:
        """Return the secret itself; call it at the wire, nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __str__(self) -> str:
        return "***"


@dataclass(frozen=True, slots=True, repr=False)
class SealedSecret:
    """A password as `syncd secret encrypt` wrote it (`v1:…`); the vault opens it."""

    text: str

    def __repr__(self) -> str:
        return "***"

    def __str__(self) -> str:
        return "***"
