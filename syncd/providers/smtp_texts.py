"""What submission servers mean by their replies, where digits and enhanced codes do not tell.

Knowledge as data: the first rule that fits wins; what fits none is judged by its codes alone
(`outgoing.verdict`). Each rule names where it was seen. Texts are matched without case.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from syncd.errors import Phase


class Meaning(StrEnum):
    """What a known reply is about."""

    LOGIN = "login"
    """The login, though the reply came to another command: holds the mailbox's queue."""
    LOGIN_FORBIDDEN = "login_forbidden"
    """The provider forbids this kind of login for good: holds the queue."""
    NEEDS_TLS = "needs_tls"
    """The connection has to be encrypted first, which the profile decides: holds the queue."""
    QUOTA = "quota"
    """A limit of the sending account, over by itself in time: holds the queue."""
    LATER = "later"
    """Temporary, whatever the digits say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRule:
    """One known reply. What is left empty fits everything."""

    meaning: Meaning
    name: str
    """A stable short name for status and alerts."""
    codes: frozenset[int] = frozenset()
    enhanced: frozenset[str] = frozenset()
    text: re.Pattern[str] | None = None
    phases: frozenset[Phase] = frozenset()
    cause: str = ""
    remedy: str = ""

    def fits(self, phase: Phase, code: int, enhanced: str | None, words: str) -> bool:
        """Tell whether a reply to the command of `phase` is the one described."""
        return (
            (not self.codes or code in self.codes)
            and (not self.enhanced or enhanced in self.enhanced)
            and (self.text is None or self.text.search(words) is not None)
            and (not self.phases or phase in self.phases)
        )


def known_reply(phase: Phase, code: int, enhanced: str | None, words: str) -> ReplyRule | None:
    """Return the rule that fits a refusal first; None if nothing is known of it."""
    fitting = (rule for rule in RULES if rule.fits(phase, code, enhanced, words))
    return next(fitting, None)


def _text(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_PERMANENT = frozenset(range(500, 600))
_OF_THE_SENDER = frozenset({Phase.LOGIN, Phase.MAIL, Phase.DATA, Phase.BODY, Phase.AFTER_DOT})
"""Phases whose replies speak of the sending account; after RCPT they speak of a recipient."""

_CHECK_LOGIN = (
    "Check user name and password of the mailbox (or of its profile) for this server."
)
_NEEDS_TLS = "The server takes no login on a connection in clear."
_USE_TLS = "Use `security: tls` (port 465) or `security: starttls` (port 587) in the profile."
_WAIT = "Nothing to do: the queue goes on when the limit is over. Ask the provider for a higher one if this repeats."

RULES: Sequence[ReplyRule] = (
    # Exchange Online: `550 5.7.30 Basic authentication is not supported for Client Submission`,
    # `535 5.7.139 Authentication unsuccessful, basic authentication is disabled`.
    ReplyRule(
        meaning=Meaning.LOGIN_FORBIDDEN,
        name="login_forbidden",
        enhanced=frozenset({"5.7.30", "5.7.139"}),
        cause="The provider no longer accepts passwords for SMTP.",
        remedy="Have SMTP AUTH enabled for it; OAuth2 comes with a later version of syncd.",
    ),
    # Gmail: `534 5.7.9 Application-specific password required`.
    ReplyRule(
        meaning=Meaning.LOGIN_FORBIDDEN,
        name="app_password_required",
        codes=frozenset({534}),
        text=_text(r"application-specific password|app password"),
        cause="The account wants an app password instead of its own.",
        remedy="Create an app password at the provider and give it to the mailbox.",
    ),
    # RFC 4954 6: 454 is the server's own trouble with checking passwords, not a refusal.
    ReplyRule(
        meaning=Meaning.LATER,
        name="login_check_unavailable",
        codes=frozenset({454}),
    ),
    # Gmail, Postfix: `530 5.7.0 Must issue a STARTTLS command first`; RFC 4954 6: `538 5.7.11
    # Encryption required for requested authentication mechanism`; Exchange: `5.7.10`.
    ReplyRule(
        meaning=Meaning.NEEDS_TLS,
        name="plaintext_login_refused",
        codes=frozenset({538}),
        cause=_NEEDS_TLS,
        remedy=_USE_TLS,
    ),
    ReplyRule(
        meaning=Meaning.NEEDS_TLS,
        name="plaintext_login_refused",
        codes=frozenset({503, 523, 530, 534, 535, 550, 554}),
        text=_text(
            r"must issue (a )?starttls|(starttls|tls|ssl|encryption|secure connection) (is )?(required|needed|first)"
            r"|(plain|clear) ?text (authentication|auth|logins?|passwords?) (is |are )?(disallowed|disabled|not (allowed|permitted))"
        ),
        cause=_NEEDS_TLS,
        remedy=_USE_TLS,
    ),
    # RFC 4954: 530 authentication required, 534 mechanism too weak, 535 invalid, 538 wants
    # encryption. fetchmail treats 530 as temporary "so as not to delete messages on
    # configuration errors": a wrong configuration never fails a message.
    ReplyRule(
        meaning=Meaning.LOGIN,
        name="login_refused",
        codes=frozenset({530, 534, 535, 538}),
        cause="The server does not accept this login.",
        remedy=_CHECK_LOGIN,
    ),
    # Exchange Online: `554 5.2.2 mailbox full` to a sender whose Sent Items are full.
    ReplyRule(
        meaning=Meaning.QUOTA,
        name="mailbox_full",
        enhanced=frozenset({"5.2.2", "4.2.2"}),
        phases=_OF_THE_SENDER,
        cause="The sending mailbox is full, so the provider takes no mail from it.",
        remedy="Make room in the mailbox (Sent Items too) or have its quota raised.",
    ),
    # Gmail: `550 5.4.5 Daily user sending limit exceeded`; iCloud: `550 5.7.1 … daily limit`;
    # Exchange Online: `554 5.2.0 … submission quota exceeded`.
    ReplyRule(
        meaning=Meaning.QUOTA,
        name="sending_limit",
        enhanced=frozenset({"5.4.5"}),
        cause="The provider's sending limit for this account is reached.",
        remedy=_WAIT,
    ),
    # After RCPT only words about sending count: "recipient quota exceeded" is the other side's.
    ReplyRule(
        meaning=Meaning.QUOTA,
        name="sending_limit",
        text=_text(
            r"(daily|hourly|sending|submission)\s+(\w+\s+){0,2}(limit|quota)"
            r"\s+(has been |is |was )?(exceeded|reached)"
            r"|(exceeded|reached)\s+(\w+\s+){0,2}(daily|hourly|sending|submission)\s+(\w+\s+){0,2}(limit|quota)"
        ),
        cause="The provider's sending limit for this account is reached.",
        remedy=_WAIT,
    ),
    ReplyRule(
        meaning=Meaning.QUOTA,
        name="sending_limit",
        phases=_OF_THE_SENDER,
        text=_text(r"rate limit|too many messages|message (limit|quota)|quota (is )?exceeded"),
        cause="The provider's sending limit for this account is reached.",
        remedy=_WAIT,
    ),
    # RFC 5321 4.5.3.1.10: 452, or the older 552, to RCPT means "too many recipients in one
    # transaction": the rest goes with the next one.
    ReplyRule(
        meaning=Meaning.LATER,
        name="too_many_recipients",
        enhanced=frozenset({"4.5.3", "5.5.3"}),
    ),
    ReplyRule(
        meaning=Meaning.LATER,
        name="too_many_recipients",
        codes=frozenset({552}),
        phases=frozenset({Phase.RCPT}),
        text=_text(r"too many (recipients|rcpt)"),
    ),
    # A 5yz whose words ask to come back (iCloud, several rate limiters).
    ReplyRule(
        meaning=Meaning.LATER,
        name="asked_to_come_back",
        codes=_PERMANENT,
        text=_text(
            r"try (it )?again later|please retry later|temporar(y|ily) (failure|reject|unavailable|deferred)"
        ),
    ),
)
