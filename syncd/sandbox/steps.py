"""What a dialogue asks its connection to do, in order: send, wait, call, upgrade, close."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for some seconds; `math.inf` waits until the client gives up."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Begin TLS: the next octets from the client are its handshake."""


@dataclass(frozen=True, slots=True)
class Close:
    """End the connection after what was sent before; `reset` throws that away and resets."""

    reset: bool = False


Step = bytes | Wait | Upgrade | Close | Callable[[], None]
"""A callable step runs when everything before it has gone to the client."""
Steps = Iterable[Step]
