"""What a mailbox can be asked."""

import pytest

from syncd.model.mailbox import Direction, Login, Mailbox, MailboxType, address_key
from syncd.model.profile import Endpoint, MailProtocol, Profile
from syncd.model.secret import Secret

POP3 = Endpoint(protocol=MailProtocol.POP3, server="pop3.contoso.com", port=995)
SMTP = Endpoint(protocol=MailProtocol.SMTP, server="smtp.contoso.com", port=465)
READER = Login(username="reader", password=Secret("geheim"))
WRITER = Login(username="writer", password=Secret("geheim"))


def _mailbox(*, incoming: bool = True, outgoing: bool = True) -> Mailbox:
    return Mailbox(
        address="ann@contoso.com",
        name="Ann",
        type=MailboxType.USER,
        profile=Profile(name="contoso", incoming=POP3, outgoing=SMTP),
        incoming=incoming,
        outgoing=outgoing,
        incoming_login=READER,
        outgoing_login=WRITER,
    )


def test_each_direction_has_its_server_and_its_login() -> None:
    mailbox = _mailbox()
    assert mailbox.endpoint(Direction.INCOMING) is POP3
    assert mailbox.endpoint(Direction.OUTGOING) is SMTP
    assert mailbox.login(Direction.INCOMING) is READER
    assert mailbox.login(Direction.OUTGOING) is WRITER


def test_a_direction_that_is_not_synchronised_has_no_login() -> None:
    assert _mailbox(incoming=False).login(Direction.INCOMING) is None
    assert _mailbox(outgoing=False).login(Direction.OUTGOING) is None


def test_no_repr_of_a_mailbox_holds_its_password() -> None:
    assert "geheim" not in repr(_mailbox())


@pytest.mark.parametrize("same", ["Ann@Contoso.COM", " ann@contoso.com ", "ANN@contoso.com"])
def test_addresses_are_compared_without_case(same: str) -> None:
    assert address_key(same) == address_key("ann@contoso.com")
    assert address_key(same) != address_key("ben@contoso.com")
