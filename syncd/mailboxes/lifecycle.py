"""What a mailbox may do now: the state of one direction, from what is known of it.

The order of the questions is the order in which an operator would have to answer them.
"""

from dataclasses import dataclass
from enum import StrEnum

from syncd.model.mailbox import Approval, Direction, Mailbox


class State(StrEnum):
    """The states of a direction, as metrics and lists name them (contract 6)."""

    RUNNING = "running"
    TESTING = "testing"
    UNAPPROVED = "unapproved"
    DISABLED = "disabled"
    FAILED = "failed"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Standing:
    """A state and, where it is not `running`, the sentence that says why."""

    state: State
    why: str = ""

    @property
    def may_connect(self) -> bool:
        """Whether syncd may open a connection for this direction."""
        return self.state in (State.RUNNING, State.TESTING, State.FAILED)


def standing(
    mailbox: Mailbox | None,
    direction: Direction,
    approval: Approval,
    *,
    has_run: bool,
    stopped_why: str | None,
) -> Standing:
    """Tell what one direction of a mailbox may do.

    `mailbox` is None when YAML no longer names it (parked); `has_run` says whether the
    direction ever worked; `stopped_why` is set when a permanent failure stopped it.
    """
    if mailbox is None:
        return Standing(State.DISABLED, "removed from the configuration (parked)")
    if not mailbox.profile.enabled:
        return Standing(State.DISABLED, f"profile {mailbox.profile.name} has `enabled: false`")
    if not mailbox.enabled:
        return Standing(State.DISABLED, "the configuration says `enabled: false`")
    if mailbox.login(direction) is None or mailbox.endpoint(direction) is None:
        return Standing(State.DISABLED, f"{direction} is `none` for this mailbox")
    if mailbox.needs_approval and approval is not Approval.APPROVED:
        return Standing(
            State.UNAPPROVED,
            "rejected by an administrator"
            if approval is Approval.REJECTED
            else f"waits for approval: syncd mailbox approve {mailbox.address}",
        )
    if stopped_why is not None:
        return Standing(State.FAILED, stopped_why)
    if not has_run:
        return Standing(State.TESTING, "its first connection is the test")
    return Standing(State.RUNNING)
