"""What POP3 servers mean by their refusals: response codes first, then known wordings.

Knowledge as data: the first rule that fits wins; what fits none is judged by the command it
answered (`mailboxes.health`). Each rule names where it was seen. Texts are matched without
case. `LOGIN` rules hold for the login only: the same words to another command mean less.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from syncd.errors import Phase
from syncd.model.failure import Lasting, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Pop3Rule:
    """One known refusal. What is left empty fits everything."""

    code: str
    """A stable short name for status, metrics and alerts."""
    lasting: Lasting
    scope: Scope = Scope.MAILBOX
    suspect: bool = False
    """Says that this account is at fault, and may yet be the provider's own trouble."""
    response_codes: frozenset[str] = frozenset()
    """RFC 2449 and 3206, upper case, without brackets."""
    text: re.Pattern[str] | None = None
    phases: frozenset[Phase] = frozenset()
    cause: str
    remedy: str

    def fits(self, phase: Phase, response_code: str | None, words: str) -> bool:
        """Tell whether a refusal of the command of `phase` is the one described."""
        return (
            (not self.response_codes or response_code in self.response_codes)
            and (self.text is None or self.text.search(words) is not None)
            and (not self.phases or phase in self.phases)
        )


def known_refusal(phase: Phase, response_code: str | None, words: str) -> Pop3Rule | None:
    """Return the rule that fits a -ERR first; None if nothing is known of it."""
    return next((rule for rule in RULES if rule.fits(phase, response_code, words)), None)


def _text(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_LOGIN = frozenset({Phase.LOGIN})
_WAIT = "Nothing to do: it is tried again by itself."

RULES: Sequence[Pop3Rule] = (
    # ---- this profile: it asks for a login in clear
    # Dovecot: `[AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.`
    # (2.4: `Cleartext …`); Cyrus: `Encryption required`; UW: `Must issue STLS command first`.
    Pop3Rule(
        code="plaintext_login_refused",
        lasting=Lasting.PERMANENT,
        scope=Scope.PROFILE,
        phases=_LOGIN,
        text=_text(
            r"(plain|clear) ?text (authentication|auth|logins?|passwords?) (is |are )?(disallowed|disabled|not (allowed|permitted))"
            r"|must issue (a )?(stls|starttls)|(stls|starttls|tls|ssl|encryption|secure connection) (is )?(required|needed|first)"
        ),
        cause="The server takes no login on a connection in clear.",
        remedy="Use `security: tls` (port 995) or `security: starttls` (port 110) in the profile.",
    ),
    # ---- this account, known for sure: no password will help, so no second try
    # Gmail: `[SYS/PERM] Your account is not enabled for POP access.`; GMX, web.de:
    # `POP3 is not activated`; Exchange: `POP3 is disabled`; Zoho: `POP access is disabled`.
    Pop3Rule(
        code="pop3_disabled",
        lasting=Lasting.PERMANENT,
        phases=_LOGIN,
        text=_text(
            r"not (enabled|activated|allowed|authori[sz]ed) for pop|pop3? ?(access|login|service)? "
            r"?(is |has been )?(disabled|not (enabled|activated|allowed))|enable (your account for )?pop"
        ),
        cause="The account exists and POP3 is switched off for it.",
        remedy="Switch POP3 on in the account's settings at the provider; then `syncd mailbox poll ADDRESS`.",
    ),
    # Gmail: `[AUTH] Application-specific password required`; Yahoo, AOL, iCloud alike.
    Pop3Rule(
        code="app_password_required",
        lasting=Lasting.PERMANENT,
        phases=_LOGIN,
        text=_text(r"application-specific password|app password"),
        cause="The account wants an app password instead of its own.",
        remedy="Create an app password at the provider, give it to the mailbox, restart syncd.",
    ),
    # Gmail: `[AUTH] Web login required: https://support.google.com/mail/answer/78754`.
    Pop3Rule(
        code="web_login_required",
        lasting=Lasting.PERMANENT,
        phases=_LOGIN,
        text=_text(r"web login required|log ?in via (your|a|the) (web )?browser"),
        cause="The provider distrusts this login until its owner signs in with a browser.",
        remedy="Sign in to the account with a browser, confirm what is asked; then `syncd mailbox poll ADDRESS`.",
    ),
    # Exchange Online: `Logon failure: … LogonDenied-BasicAuthBlocked`; `Basic authentication
    # is disabled`.
    Pop3Rule(
        code="login_forbidden",
        lasting=Lasting.PERMANENT,
        phases=_LOGIN,
        text=_text(r"basic ?auth(entication)? ?(is )?(blocked|disabled)"),
        cause="The provider no longer accepts passwords for POP3.",
        remedy="Have POP3 passwords allowed for it; OAuth2 comes with a later version of syncd.",
    ),
    # cPanel, Plesk, many hosters: `Account suspended`, `Mailbox disabled`.
    Pop3Rule(
        code="account_closed",
        lasting=Lasting.PERMANENT,
        phases=_LOGIN,
        text=_text(
            r"(account|mailbox|user)\s+(is |has been |was )?(suspended|disabled|deactivated|closed|deleted|blocked)"
        ),
        cause="The provider has closed or suspended the account.",
        remedy="Ask the provider to open the account again; then `syncd mailbox poll ADDRESS`.",
    ),
    # ---- passes by itself
    # Dovecot: `[IN-USE] Mailbox is locked by another POP3 session`, and the same code for its
    # limit of connections; RFC 2449 8.1.1. A phone that polls is no trouble (faults 20).
    Pop3Rule(
        code="maildrop_locked",
        lasting=Lasting.TRANSIENT,
        response_codes=frozenset({"IN-USE"}),
        cause="Another program has the mailbox open (a phone, another reader), or too many are connected.",
        remedy=_WAIT,
    ),
    # RFC 2449 8.1.2: the last login was too short a time ago.
    Pop3Rule(
        code="login_too_soon",
        lasting=Lasting.TRANSIENT,
        response_codes=frozenset({"LOGIN-DELAY"}),
        cause="The provider wants more time between two logins.",
        remedy="Raise minimum_polling_interval of the profile if this repeats.",
    ),
    # RFC 3206: the system, not the credentials, and likely over soon.
    Pop3Rule(
        code="server_trouble",
        lasting=Lasting.TRANSIENT,
        response_codes=frozenset({"SYS/TEMP"}),
        cause="The server has trouble of its own.",
        remedy=_WAIT,
    ),
    # RFC 3206: the system, and somebody there has to act. Not at once: a provider may answer
    # so to everybody during a repair.
    Pop3Rule(
        code="server_fault",
        lasting=Lasting.PERMANENT,
        suspect=True,
        phases=_LOGIN,
        response_codes=frozenset({"SYS/PERM"}),
        cause="The server says that this mailbox needs repair on its side.",
        remedy="Show the server's words to the provider; when it is mended, `syncd mailbox poll ADDRESS`.",
    ),
    # Exchange: `UserConnectionLimitReached`; Dovecot: `Maximum number of connections from
    # user+IP exceeded`; Courier: `Too many connections`.
    Pop3Rule(
        code="too_many_connections",
        lasting=Lasting.TRANSIENT,
        text=_text(
            r"connectionlimit|too many (simultaneous |concurrent |open )?(connections|sessions|logins)"
            r"|maximum (number of )?(simultaneous |concurrent )?(connections|sessions)"
        ),
        cause="The server counts too many connections for this login or from this address.",
        remedy="Lower max_concurrent_connections of the profile if this repeats.",
    ),
    # Servers without response codes: `maildrop already locked`, `mailbox in use`, RFC 1939's
    # `unable to lock mailbox`, `-ERR maildrop is locked by another session`.
    Pop3Rule(
        code="maildrop_locked",
        lasting=Lasting.TRANSIENT,
        text=_text(
            r"(maildrop|mailbox|mailstore|folder)\s+(is |has been )?(already |currently )?(locked|in use|busy|opened)"
            r"|(unable|failed|cannot|can't|could not) to lock|can(no|')t lock"
        ),
        cause="Another program has the mailbox open (a phone, another reader).",
        remedy=_WAIT,
    ),
    # Dovecot: `Temporary authentication failure`; Yahoo: `Server error - Please try again
    # later`; Courier: `Temporary problem, please try again later`; Exchange: `Server Unavailable`.
    Pop3Rule(
        code="server_trouble",
        lasting=Lasting.TRANSIENT,
        text=_text(
            r"try (it )?again( later| in)|temporar(y|ily)|server (error|unavailable|busy)|service (is )?(not available|unavailable)"
            r"|internal (server )?error|maintenance|overload|throttl|rate ?limit"
        ),
        cause="The server has trouble of its own, or slows everybody down.",
        remedy=_WAIT,
    ),
)
