"""Which mechanism an SMTP login uses: one, chosen before."""

import pytest

from syncd.connections.smtp_login import choose_mechanism
from syncd.errors import MechanismNotOffered, PlaintextLoginForbidden
from syncd.model.profile import Authentication, Endpoint, MailProtocol, Security

AUTO, PLAIN, LOGIN, CRAM = (
    Authentication.AUTO,
    Authentication.PLAIN,
    Authentication.LOGIN,
    Authentication.CRAM_MD5,
)
EVERYTHING = "PLAIN LOGIN CRAM-MD5 XOAUTH2"


def chosen(
    wish: Authentication, offered: str, *, is_encrypted: bool, may_be_readable: bool = False
) -> Authentication:
    endpoint = Endpoint(
        protocol=MailProtocol.SMTP,
        server="mail.example.org",
        port=587,
        authentication=wish,
        security=Security.STARTTLS if is_encrypted else Security.NONE,
        allow_plaintext_login=may_be_readable,
    )
    return choose_mechanism(endpoint, frozenset(offered.split()))


@pytest.mark.parametrize(
    ("wish", "offered", "encrypted", "readable"),
    [
        (AUTO, EVERYTHING, PLAIN, CRAM),
        (AUTO, "LOGIN CRAM-MD5", LOGIN, CRAM),
        (AUTO, "CRAM-MD5", CRAM, CRAM),
        (AUTO, "LOGIN PLAIN", PLAIN, PlaintextLoginForbidden),
        (PLAIN, EVERYTHING, PLAIN, PlaintextLoginForbidden),
        (LOGIN, EVERYTHING, LOGIN, PlaintextLoginForbidden),
        (CRAM, EVERYTHING, CRAM, CRAM),
        (PLAIN, "LOGIN", MechanismNotOffered, MechanismNotOffered),
        (CRAM, "PLAIN", MechanismNotOffered, MechanismNotOffered),
        (AUTO, "GSSAPI", MechanismNotOffered, MechanismNotOffered),
        (AUTO, "", MechanismNotOffered, PlaintextLoginForbidden),
        (Authentication.APOP, "APOP PLAIN", MechanismNotOffered, MechanismNotOffered),
        (Authentication.USER_PASS, "PLAIN", MechanismNotOffered, MechanismNotOffered),
    ],
)
def test_the_mechanism_is_the_best_that_the_road_allows(
    wish: Authentication,
    offered: str,
    encrypted: Authentication | type[Exception],
    readable: Authentication | type[Exception],
) -> None:
    for expected, is_encrypted in ((encrypted, True), (readable, False)):
        if isinstance(expected, Authentication):
            assert chosen(wish, offered, is_encrypted=is_encrypted) is expected
        else:
            with pytest.raises(expected):
                chosen(wish, offered, is_encrypted=is_encrypted)


@pytest.mark.parametrize(
    ("offered", "used"), [(EVERYTHING, CRAM), ("LOGIN PLAIN", PLAIN), ("LOGIN", LOGIN)]
)
def test_a_readable_road_that_is_allowed_still_hides_the_password_where_it_can(
    offered: str, used: Authentication
) -> None:
    assert chosen(AUTO, offered, is_encrypted=False, may_be_readable=True) is used
