"""A server is known by its first line."""

import pytest

from syncd.protocols.greetings import who_greets


@pytest.mark.parametrize(
    ("greeting", "who"),
    [
        ("+OK Dovecot ready.", "a POP3 server"),
        ("* OK [CAPABILITY IMAP4rev1] ready", "an IMAP server"),
        ("* BYE too many connections", "an IMAP server"),
        ("220 mx.contoso.com ESMTP Postfix", "an SMTP server"),
        ("220-mx.contoso.com", "an SMTP server"),
        ("554 mx.contoso.com ESMTP not accepting messages", "an SMTP server"),
        ("SSH-2.0-OpenSSH_9.6", None),
        ("2200", None),
        ("", None),
    ],
)
def test_who_greets_so(greeting: str, who: str | None) -> None:
    assert who_greets(greeting) == who
