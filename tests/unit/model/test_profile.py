"""What a profile can be asked."""

from datetime import UTC, datetime

from syncd.model.profile import BEGINNING, Endpoint, MailProtocol


def test_a_server_is_named_by_host_and_port() -> None:
    endpoint = Endpoint(protocol=MailProtocol.POP3, server="pop3.contoso.com", port=1995)
    assert endpoint.place == "pop3.contoso.com:1995"


def test_the_beginning_is_earlier_than_every_mail() -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) > BEGINNING
