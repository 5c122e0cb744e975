"""What one direction of a mailbox may do."""

from dataclasses import replace

import pytest

from syncd.mailboxes.lifecycle import State, standing
from syncd.model.mailbox import Approval, Direction, Login, Mailbox, MailboxType
from syncd.model.profile import Endpoint, MailProtocol, Profile
from syncd.model.secret import Secret

LOGIN = Login(username="ann", password=Secret("x"))
PROFILE = Profile(
    name="contoso",
    incoming=Endpoint(protocol=MailProtocol.POP3, server="pop3.contoso.com", port=995),
    outgoing=Endpoint(protocol=MailProtocol.SMTP, server="smtp.contoso.com", port=465),
)
ANN = Mailbox(
    address="ann@contoso.com",
    name="Ann",
    type=MailboxType.USER,
    profile=PROFILE,
    incoming=True,
    outgoing=True,
    incoming_login=LOGIN,
    outgoing_login=LOGIN,
)


def state(
    mailbox: Mailbox | None,
    approval: Approval = Approval.APPROVED,
    *,
    has_run: bool = True,
    stopped_why: str | None = None,
    direction: Direction = Direction.INCOMING,
) -> State:
    return standing(
        mailbox, direction, approval, has_run=has_run, stopped_why=stopped_why
    ).state


def test_an_approved_mailbox_that_worked_runs() -> None:
    known = standing(ANN, Direction.OUTGOING, Approval.APPROVED, has_run=True, stopped_why=None)
    assert known.state is State.RUNNING
    assert known.may_connect
    assert known.why == ""


def test_the_first_connection_is_the_test() -> None:
    assert state(ANN, has_run=False) is State.TESTING


@pytest.mark.parametrize("approval", [Approval.EMPTY, Approval.PENDING, Approval.REJECTED])
def test_an_unapproved_mailbox_causes_no_connection(approval: Approval) -> None:
    known = standing(ANN, Direction.INCOMING, approval, has_run=True, stopped_why="broken")
    assert known.state is State.UNAPPROVED
    assert not known.may_connect
    assert ("rejected" in known.why) is (approval is Approval.REJECTED)


def test_with_the_gate_off_nobody_needs_approval() -> None:
    assert state(replace(ANN, needs_approval=False), Approval.EMPTY) is State.RUNNING


def test_a_parked_mailbox_is_not_polled() -> None:
    assert state(None) is State.DISABLED


def test_a_disabled_profile_disables_its_mailboxes() -> None:
    assert state(replace(ANN, profile=replace(PROFILE, enabled=False))) is State.DISABLED


def test_a_disabled_mailbox_is_disabled() -> None:
    assert state(replace(ANN, enabled=False)) is State.DISABLED


@pytest.mark.parametrize("direction", list(Direction))
def test_a_direction_set_to_none_is_disabled(direction: Direction) -> None:
    quiet = replace(ANN, incoming=False, outgoing=False)
    assert state(quiet, direction=direction) is State.DISABLED


def test_a_profile_without_that_server_disables_the_direction() -> None:
    only_in = replace(ANN, profile=replace(PROFILE, outgoing=None))
    assert state(only_in, direction=Direction.OUTGOING) is State.DISABLED


def test_a_stopped_mailbox_says_why_and_may_be_probed() -> None:
    known = standing(
        ANN, Direction.INCOMING, Approval.APPROVED, has_run=True, stopped_why="password refused"
    )
    assert known.state is State.FAILED
    assert known.why == "password refused"
    assert known.may_connect
