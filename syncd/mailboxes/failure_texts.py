"""What each error means, in words a person can act on. Knowledge as data; `health` reads it."""

from collections.abc import Mapping
from dataclasses import dataclass

from syncd.errors import (
    BytesBeforeTls,
    CommandRefused,
    ConnectionLost,
    LimitExceeded,
    LoginRefused,
    MechanismNotOffered,
    NameNotFound,
    NoGreeting,
    PlaintextLoginForbidden,
    ProtocolViolated,
    Refused,
    SecretUnreadable,
    ServerError,
    StoreBroken,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreRefused,
    SyncdError,
    TermLost,
    TimedOut,
    TlsFailure,
    TlsNotOffered,
    Unreachable,
    WrongProtocol,
)
from syncd.model.failure import Lasting, Scope


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a class of errors means."""

    code: str
    lasting: Lasting
    scope: Scope
    cause: str
    remedy: str
    suspect: bool = False


TRANSIENT, PERMANENT = Lasting.TRANSIENT, Lasting.PERMANENT

_BY_ITSELF = (
    "It is tried again by itself; if it stays, show the server's words to the provider."
)
_REPORT = "It is tried again by itself; if it stays, report it with the log."

UNEXPECTED = Meaning(
    "unexpected",
    TRANSIENT,
    Scope.MAILBOX,
    "Something that syncd does not know went wrong.",
    _REPORT,
)

MEANINGS: Mapping[type[SyncdError], Meaning] = {
    # ---- the way to the server
    NameNotFound: Meaning(
        "name_not_found",
        TRANSIENT,
        Scope.SERVER,
        "DNS knows no address of this name, or did not answer.",
        "Check the server name of the profile, and this machine's resolver.",
    ),
    Unreachable: Meaning(
        "unreachable",
        TRANSIENT,
        Scope.SERVER,
        "No connection came about: the server is down, the port is wrong, or a firewall is between.",
        "Check server and port of the profile, and the firewall; then `syncd mailbox poll ADDRESS`.",
    ),
    TlsNotOffered: Meaning(
        "starttls_not_offered",
        PERMANENT,
        Scope.SERVER,
        "The server does not offer STARTTLS, or somebody between removes it. No password was sent.",
        "Use `security: tls` with the TLS port; if this appeared by itself, suspect the network.",
    ),
    BytesBeforeTls: Meaning(
        "bytes_before_tls",
        PERMANENT,
        Scope.SERVER,
        "Bytes stood in the clear before the TLS handshake: an injection. No password was sent.",
        "Use `security: tls`; suspect the network between here and the server.",
    ),
    # ---- the profile
    PlaintextLoginForbidden: Meaning(
        "plaintext_login_forbidden",
        PERMANENT,
        Scope.PROFILE,
        "The login would cross the network readable, and the profile does not allow that.",
        "Use `security: tls` or `security: starttls`; only on a trusted network: allow_plaintext_login.",
    ),
    MechanismNotOffered: Meaning(
        "mechanism_not_offered",
        PERMANENT,
        Scope.PROFILE,
        "The server does not offer the authentication that the profile asks for.",
        "Set `authentication: auto`, or one that the server names; if it names none in clear, "
        "use `security: tls` or `security: starttls`.",
    ),
    # ---- the session
    LoginRefused: Meaning(
        "login_refused",
        PERMANENT,
        Scope.MAILBOX,
        "The server refused the login: a changed or wrong password, or a locked account.",
        "Correct the mailbox's credentials and restart syncd; if they are right, "
        "`syncd mailbox poll ADDRESS` tries them at once.",
        suspect=True,
    ),
    CommandRefused: Meaning(
        "command_refused", TRANSIENT, Scope.MAILBOX, "The server refused a command.", _BY_ITSELF
    ),
    ConnectionLost: Meaning(
        "connection_lost",
        TRANSIENT,
        Scope.MAILBOX,
        "The connection ended in mid-conversation.",
        _BY_ITSELF,
    ),
    TimedOut: Meaning(
        "timed_out",
        TRANSIENT,
        Scope.MAILBOX,
        "The server did not answer, or not to the end, in time.",
        _BY_ITSELF,
    ),
    NoGreeting: Meaning(
        "no_greeting",
        TRANSIENT,
        Scope.SERVER,
        "The server said nothing: is this a TLS port? There it waits for the handshake.",
        "If it is one (995, 465), set `security: tls`; else it is tried again by itself.",
    ),
    LimitExceeded: Meaning(
        "limit_exceeded",
        TRANSIENT,
        Scope.MAILBOX,
        "The server sent more than any mailbox needs.",
        _BY_ITSELF,
    ),
    ProtocolViolated: Meaning(
        "protocol_violated",
        TRANSIENT,
        Scope.MAILBOX,
        "The server said what its protocol forbids.",
        _BY_ITSELF,
    ),
    WrongProtocol: Meaning(
        "wrong_protocol",
        PERMANENT,
        Scope.PROFILE,
        "Another kind of server answers on this port.",
        "Set server and port: POP3 is on 995 (tls) or 110, SMTP on 465 (tls) or 587 (starttls).",
    ),
    ServerError: Meaning(
        "server_error",
        TRANSIENT,
        Scope.MAILBOX,
        "The server and syncd did not get along.",
        _BY_ITSELF,
    ),
    # ---- our own side
    StoreFull: Meaning(
        "store_full",
        TRANSIENT,
        Scope.STORE,
        "The disk under the store is full: nothing new is taken.",
        "Make room on the disk; syncd goes on by itself.",
    ),
    StoreBusy: Meaning(
        "store_busy",
        TRANSIENT,
        Scope.STORE,
        "Another program holds the store's lock.",
        "End the sqlite3 shell or backup that holds it; syncd goes on by itself.",
    ),
    StoreBroken: Meaning(
        "store_broken",
        PERMANENT,
        Scope.STORE,
        "The store had an I/O error and is not written any more.",
        "Look at the disk and the system log, then restart syncd.",
    ),
    StoreRefused: Meaning(
        "store_refused",
        TRANSIENT,
        Scope.STORE,
        "The store may not be used by this process.",
        "Read the words; nothing was changed.",
    ),
    TermLost: Meaning(
        "term_lost",
        TRANSIENT,
        Scope.STORE,
        "Another node has taken this mailbox over.",
        "Nothing to do: it goes on there.",
    ),
    StoreError: Meaning(
        "store_error",
        TRANSIENT,
        Scope.STORE,
        "The store refused a write; nothing of it was kept.",
        _REPORT,
    ),
    SecretUnreadable: Meaning(
        "needs_credentials",
        PERMANENT,
        Scope.MAILBOX,
        "The sealed password does not open: its key is not configured, or it was sealed for"
        " another mailbox, profile or server.",
        "Restore the file of the key that is named; where none is, seal the password anew with"
        " `syncd secret encrypt --for`, write it in place of the old one, and restart.",
    ),
    Refused: Meaning(
        "refused",
        PERMANENT,
        Scope.MESSAGE,
        "syncd does not accept what it was asked to do.",
        "Correct the field that is named.",
    ),
    SyncdError: UNEXPECTED,
}

MESSAGE_TOO_LARGE = Meaning(
    "message_too_large",
    TRANSIENT,
    Scope.MESSAGE,
    "A message turned out to be larger than max_message_size; it was put aside.",
    "Nothing to do for the rest; raise limits.max_message_size to have it.",
)


def _of_certificate(
    code: str, cause: str, remedy: str, scope: Scope = Scope.PROFILE
) -> Meaning:
    return Meaning(code, PERMANENT, scope, f"{cause} No password was sent.", remedy)


TLS_MEANINGS: Mapping[TlsFailure, Meaning] = {
    TlsFailure.EXPIRED: _of_certificate(
        "tls_expired",
        "The server's certificate has expired (or is not valid yet).",
        "Its operator has to renew it; check this machine's clock too.",
        Scope.SERVER,
    ),
    TlsFailure.WRONG_NAME: _of_certificate(
        "tls_wrong_name",
        "The server's certificate is for another name.",
        "Write the name that the certificate holds into `server`, or set tls_server_name.",
    ),
    TlsFailure.SELF_SIGNED: _of_certificate(
        "tls_self_signed",
        "The server's certificate is signed by itself.",
        "If it is yours: name its file in tls_ca, or set tls_pin to its SHA-256; either suffices.",
    ),
    TlsFailure.UNKNOWN_AUTHORITY: _of_certificate(
        "tls_unknown_authority",
        "Nobody this machine trusts has signed the server's certificate.",
        "Name the signing authority's file in tls_ca, or set tls_pin to the certificate's SHA-256.",
    ),
    TlsFailure.PIN_MISMATCH: _of_certificate(
        "tls_pin_mismatch",
        "The server shows another certificate than the one pinned.",
        "If its operator renewed it, set tls_pin to the SHA-256 found; else suspect the network.",
    ),
    TlsFailure.NOT_TLS: _of_certificate(
        "tls_not_tls",
        "The server does not speak TLS on this port.",
        "Use `security: starttls` on this port (110, 587), or its TLS port (995, 465) with `tls`.",
        Scope.SERVER,
    ),
    TlsFailure.OTHER: Meaning(
        "tls_other",
        TRANSIENT,
        Scope.SERVER,
        "The TLS handshake failed.",
        "If it stays, show these words to the operator of the server.",
    ),
}
"""What a profile may set right (tls_ca, tls_server_name, tls_pin) concerns that profile: another
one may get along with the same server."""
