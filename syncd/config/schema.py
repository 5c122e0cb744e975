"""Every key of the configuration, with its meaning, its bounds and its default.

The only place that knows key names. The docstring below a key is what editors show beside
it. What several keys must agree on is in `rules`; what a value may look like is in `values`.

Rule 1: a key of a later version stands here as `NotYet`, with the value that changes nothing;
it is refused with a sentence, never ignored and never a mere "unknown key".
"""

from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr, model_validator

from syncd.config import values
from syncd.config.fields import (
    Confidential,
    NotYet,
    OneOf,
    OrEmpty,
    OrNothing,
    Parsed,
    duration,
    pattern,
    size,
    text,
    whole,
)
from syncd.config.problems import Loc, Place
from syncd.config.secrets import require_key_line
from syncd.config.strict_yaml import YamlMap, key_path, place_of
from syncd.model.mailbox import MailboxType
from syncd.model.profile import Authentication, IpVersion, OutcomePolicy, Security
from syncd.model.secret import SealedSecret, Secret

SECOND: Final = timedelta(seconds=1)
MINUTE: Final = timedelta(minutes=1)
DAY: Final = timedelta(days=1)


class Synchronization(StrEnum):
    """Whether mail goes this way."""

    SYNC = "sync"
    NONE = "none"


class ProfileType(StrEnum):
    """What a profile's servers speak."""

    POP3_SMTP = "pop3-smtp"


class ProfileMode(StrEnum):
    """Whether a profile works or only looks."""

    SYNC = "sync"


class CredentialSource(StrEnum):
    """Who holds the login ("Authenticate Using")."""

    MAILBOX = "mailbox"
    PROFILE = "profile"


class Accept(StrEnum):
    """Which incoming mail is taken ("convert incoming email to activities")."""

    ALL = "all"


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """For machines or for eyes."""

    JSON = "json"
    CONSOLE = "console"


Flag = Annotated[bool, Parsed(values.parse_flag, {"type": "boolean"})]
Name = Annotated[str, text(100)]
Address = Annotated[str, Parsed(values.parse_address, {"type": "string", "format": "email"})]
Port = Annotated[int, whole(1, 65535)]
AnySecret = Annotated[Secret | SealedSecret, Confidential()]
KeyLine = Annotated[Secret, Confidential(("file", "env", "credential"), require_key_line)]
Direction = Annotated[Synchronization, OneOf(Synchronization)]
ProcessEmailFrom = Annotated[
    datetime,
    Parsed(
        values.parse_process_email_from, {"type": "string"}, values.format_process_email_from
    ),
]

_LATER_MECHANISMS: Final = {
    "scram-sha-1": "SCRAM",
    "scram-sha-256": "SCRAM",
    "ntlm": "NTLM",
    "kerberos": "Kerberos",
    "xoauth2": "OAuth2",
    "oauthbearer": "OAuth2",
}
_ANONYMOUS: Final = (
    "logging in without credentials is not a valid setting, because a server that asks nobody"
    " who they are cannot know whose mail it hands out or sends; "
)
_POP3_ONLY: Final = (
    "it is a login of POP3 and unknown to SMTP; write auto, plain, login or cram-md5"
)


class Section(BaseModel):
    """A mapping of known keys."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
    )


class Retention(Section):
    """How long things are kept; null is for ever."""

    messages: Annotated[None, NotYet("deletion by age")] = None
    """Incoming messages."""
    outgoing: Annotated[None, NotYet("deletion by age")] = None
    """Outgoing messages with a final state."""
    events: Annotated[None, NotYet("deletion by age")] = None
    """Events for the application."""
    alerts: Annotated[None, NotYet("deletion by age")] = None
    """Closed alerts."""
    audit: Annotated[None, NotYet("deletion by age")] = None
    """Who did what, when."""


class Store(Section):
    """Where messages, ledger and queue live."""

    url: Annotated[str, Parsed(values.parse_store_url, pattern("sqlite:////.+"))] = (
        "sqlite:////var/lib/syncd/syncd.db"
    )
    """sqlite: and an absolute path."""
    retention: Annotated[Retention, OrNothing] = Retention()
    """How long things are kept; this version keeps everything."""

    @property
    def path(self) -> Path:
        """The database file."""
        return Path(self.url.removeprefix("sqlite:///"))


class Encryption(Section):
    """The keys that credentials are sealed with."""

    keys: Annotated[tuple[KeyLine, ...], OrEmpty] = ()
    """The first encrypts, all decrypt; each is a line of `syncd secret new-key`."""


class Http(Section):
    """The local socket; and, in later versions, API and console."""

    listen: Annotated[None, NotYet("HTTP API")] = None
    """Address and port of the API."""
    socket: Annotated[Path, Parsed(values.parse_socket_path, pattern("/.*"), str)] = Path(
        "/run/syncd/syncd.sock"
    )
    """Where the command line reaches the daemon."""
    tls: Annotated[None, NotYet("HTTP API")] = None
    """Certificate and key of the API."""
    trusted_proxies: Annotated[object, NotYet("HTTP API", off=[])] = []
    """Proxies whose word about the client counts."""
    tokens: Annotated[object, NotYet("HTTP API", off=[])] = []
    """Who may use the API, and for what."""
    allow_plain_http: Annotated[bool, NotYet("HTTP API", off=False)] = False
    """Whether the API may be served without TLS on a network address."""
    allow_credentials_over_http: Annotated[bool, NotYet("HTTP API", off=False)] = False
    """Whether credentials may be entered over a channel that is not secure."""


class Network(Section):
    """Limits and patience on the way to the mail servers."""

    allowed_ports: (
        Annotated[
            values.AllowedPorts,
            Parsed(
                values.parse_allowed_ports,
                {
                    "oneOf": [
                        {"enum": sorted(values.PRESETS_OF_PORTS)},
                        {"type": "array", "items": {"type": "integer"}, "minItems": 1},
                    ]
                },
                str,
            ),
        ]
        | None
    ) = None
    """The only ports that may be connected to: a list, or us-government; null: any."""
    max_connections: Annotated[int, whole(1, 100_000)] = 500
    """Connections to mail servers in all."""
    max_connections_per_server: Annotated[int, whole(1, 100_000)] = 100
    """Connections to one mail server."""
    login_rate_per_server: Annotated[
        values.Rate, Parsed(values.parse_rate, pattern(values.RATE.pattern), values.format_rate)
    ] = values.Rate(20, SECOND)
    """Logins at one mail server."""
    connect_timeout: Annotated[timedelta, duration(SECOND, 10 * MINUTE)] = 20 * SECOND
    """Patience for TCP and TLS."""
    command_timeout: Annotated[timedelta, duration(SECOND, 60 * MINUTE)] = 60 * SECOND
    """Patience for an answer of a POP3 server; SMTP waits as RFC 5321 asks."""
    session_timeout: Annotated[timedelta, duration(SECOND, DAY)] = 30 * MINUTE
    """How long one POP3 session may last."""
    allow_private: Annotated[bool, NotYet("HTTP API", off=False)] = False
    """Whether the API may name private addresses; this file may always."""


class Limits(Section):
    """How much at most."""

    memory: Annotated[int, size(1 << 20, 1 << 40)] = 256 << 20
    """Message octets in flight, over all connections."""
    max_message_size: Annotated[int, size(1 << 10, 1 << 40)] = 150 << 20
    """Larger messages are recorded as skipped; neither fetched nor deleted."""


class Reload(Section):
    """What a reload may do without asking."""

    max_stopped: Annotated[int, NotYet("reload", off=10)] = 10
    """Mailboxes that a reload may stop without `--accept`."""


class EmailSettings(Section):
    """What holds for mailboxes that do not say otherwise."""

    profile: Name | None = None
    """The default profile (or `default: true` on one profile)."""
    incoming: Direction = Synchronization.SYNC
    """Whether mail is pulled."""
    outgoing: Direction = Synchronization.SYNC
    """Whether mail is sent."""
    appointments_contacts_tasks: Annotated[
        str, Parsed(values.parse_no_synchronization, {"enum": ["none"]})
    ] = "none"
    """Not supported for POP3, IMAP, SMTP and Gmail: always none."""
    process_only_approved_users: Flag = True
    """Whether a user's mailbox must be approved before it is connected to."""
    process_only_approved_queues: Flag = True
    """Whether a queue's mailbox must be approved before it is connected to."""
    test_new_mailboxes: Flag = True
    """Whether new and changed mailboxes are tested and enabled without being told to."""


class Alerts(Section):
    """Who is told."""

    levels: Annotated[
        object, NotYet("choice of alerts", off=["error", "warning", "information"])
    ] = ["error", "warning", "information"]
    """Which alerts are shown."""
    notify_mailbox_owner: Annotated[bool, NotYet("mail to owners", off=False)] = False
    """Whether the owner of a mailbox gets its alerts by mail."""
    webhook: Annotated[None, NotYet("webhooks")] = None
    """Where alerts are posted to."""
    alertmanager: Annotated[None, NotYet("connection to Alertmanager")] = None
    """Where Alertmanager is."""
    smtp: Annotated[None, NotYet("mail about alerts")] = None
    """A relay apart from every profile."""


class Log(Section):
    """The log, on standard error."""

    level: Annotated[LogLevel, OneOf(LogLevel)] = LogLevel.INFO
    """debug, info, warning or error."""
    format: Annotated[LogFormat, OneOf(LogFormat)] = LogFormat.JSON
    """json or console."""


class Metrics(Section):
    """What is measured."""

    per_mailbox: Annotated[bool, NotYet("metrics per mailbox", off=False)] = False
    """Whether each mailbox has series of its own."""


class Side(Section):
    """What incoming and outgoing servers have in common."""

    standard_ports: ClassVar[dict[Security, int]]

    server: Annotated[str, Parsed(values.parse_server, {"type": "string", "minLength": 1})]
    """Host name or IP address ("server location")."""
    port: Port | None = None
    """Absent: filled from protocol and security."""
    security: Annotated[Security, OneOf(Security)] = Security.TLS
    """tls from the first byte, starttls (STLS on POP3), or none."""
    tls_ca: Annotated[Path, Parsed(values.parse_path, text(4096).json, str)] | None = None
    """File with the authorities (PEM) to trust instead of the system's; relative to this file."""
    tls_server_name: (
        Annotated[str, Parsed(values.parse_server, {"type": "string", "minLength": 1})] | None
    ) = None
    """The name to expect in the certificate, where it is not `server`."""
    tls_pin: (
        Annotated[str, Parsed(values.parse_pin, pattern("([0-9A-Fa-f]{2}:?){32}"))] | None
    ) = None
    """SHA-256 of the server's certificate, in hex: no other is accepted."""
    allow_plaintext_login: Flag = False
    """Whether the password may cross the network readable."""
    ip: Annotated[IpVersion, OneOf(IpVersion)] = IpVersion.AUTO
    """auto, 4 or 6."""
    source_address: (
        Annotated[str, Parsed(values.parse_ip_address, {"type": "string"})] | None
    ) = None
    """The address of this machine to connect from."""
    proxy: Annotated[None, NotYet("proxies")] = None
    """socks5:// or http://."""
    fallback: Annotated[object, NotYet("fallback servers", off=[])] = []
    """More servers, in order."""
    protocol: Annotated[None, NotYet("choice of protocols")] = None
    """pop3 or imap, for the types that offer both."""

    @model_validator(mode="before")
    @classmethod
    def _beside_its_file(cls, written: object) -> object:
        """Take a relative tls_ca from where its YAML file is."""
        match written:
            case YamlMap() if isinstance(name := written.get("tls_ca"), str) and name.strip():
                folder = Path(written.value_places["tls_ca"].file).absolute().parent
                return {**written, "tls_ca": str(folder / name)}
            case _:
                return written

    @property
    def filled_port(self) -> int:
        """The port as written, or the one that goes with the security."""
        return self.port or self.standard_ports[self.security]


class Incoming(Side):
    """The server that mail is pulled from."""

    standard_ports: ClassVar[dict[Security, int]] = {
        Security.TLS: 995,
        Security.STARTTLS: 110,
        Security.NONE: 110,
    }

    authentication: Annotated[
        Authentication,
        OneOf(
            Authentication,
            later=_LATER_MECHANISMS,
            refused={"anonymous": f"{_ANONYMOUS}leave it at auto"},
        ),
    ] = Authentication.AUTO
    """One mechanism, tried once; auto: USER/PASS under TLS, else CRAM-MD5."""


class Outgoing(Side):
    """The server that mail is handed to."""

    standard_ports: ClassVar[dict[Security, int]] = {
        Security.TLS: 465,
        Security.STARTTLS: 587,
        Security.NONE: 587,
    }

    authentication: Annotated[
        Authentication,
        OneOf(
            Authentication,
            later=_LATER_MECHANISMS,
            refused={
                "anonymous": f"{_ANONYMOUS}leave it at auto",
                "user-pass": _POP3_ONLY,
                "apop": _POP3_ONLY,
            },
        ),
    ] = Authentication.AUTO
    """One mechanism, tried once; auto: PLAIN under TLS, else CRAM-MD5."""


Source = Annotated[
    CredentialSource,
    OneOf(
        CredentialSource,
        later={"integrated": "Kerberos"},
        refused={
            "anonymous": f"{_ANONYMOUS}write mailbox (each mailbox has its own login) or"
            " profile (the profile has one login for all)"
        },
    ),
]
Impersonation = Annotated[str, Parsed(values.parse_impersonation, {"type": "string"})]


class OutgoingCredentials(Section):
    """The login for the outgoing server, where it is another one."""

    source: Source = CredentialSource.PROFILE
    """mailbox or profile."""
    username: Annotated[str, text(200)] | None = None
    """With source: profile."""
    password: AnySecret | None = None
    """With source: profile."""
    impersonation: Impersonation | None = None
    """How the login names a mailbox; absent: not at all."""


class ProfileCredentials(Section):
    """Who holds the logins of a profile's mailboxes ("Authenticate Using")."""

    source: Source = CredentialSource.MAILBOX
    """mailbox ("specified by a user or queue") or profile ("in email server profile")."""
    username: Annotated[str, text(200)] | None = None
    """With source: profile. It must be allowed to act for every mailbox of the profile."""
    password: AnySecret | None = None
    """With source: profile."""
    outgoing: OutgoingCredentials | None = None
    """Absent: the same for outgoing ("use same settings for outgoing")."""
    impersonation: Impersonation | None = None
    """How the profile's login names a mailbox: "{address}*{username}", or authzid."""
    oauth2: Annotated[None, NotYet("OAuth2")] = None
    """Where tokens come from."""


class Retry(Section):
    """How long a message is tried: by its age, not by the number of attempts."""

    first: Annotated[timedelta, duration(SECOND, DAY)] = MINUTE
    """Wait after the first failure; it doubles from there."""
    longest: Annotated[timedelta, duration(SECOND, DAY)] = 60 * MINUTE
    """The longest wait between two attempts."""
    lifetime: Annotated[timedelta, duration(MINUTE, 30 * DAY)] = 5 * DAY
    """The age at which a message is given up."""
    warn_after: Annotated[timedelta, duration(MINUTE, 30 * DAY)] = timedelta(hours=4)
    """The age at which a message that is still waiting is worth an alert."""


class Profile(Section):
    """An email server profile: what the mailboxes of one provider have in common."""

    name: Name
    """A meaningful name."""
    type: Annotated[
        ProfileType,
        OneOf(ProfileType, later={"imap-smtp": "IMAP", "gmail": "Gmail", "outlook": "Outlook"}),
    ]
    """pop3-smtp."""
    description: Annotated[str, text(2000)] | None = None
    """The objective of this profile, shortly."""
    owner: Address | None = None
    """Who is told about alerts of the whole profile."""
    tenant: Annotated[None, NotYet("tenants")] = None
    """Whose it is, where several share one syncd."""
    default: Flag = False
    """Whether mailboxes that name no profile get this one."""
    enabled: Flag = True
    """Whether it is used at all."""
    mode: Annotated[
        ProfileMode, OneOf(ProfileMode, later={"observe": "profiles that only look"})
    ] = ProfileMode.SYNC
    """sync."""
    incoming: Incoming | None = None
    """The server that mail is pulled from."""
    outgoing: Outgoing | None = None
    """The server that mail is handed to."""
    credentials: Annotated[ProfileCredentials, OrNothing] = ProfileCredentials()
    """Who holds the logins."""
    process_email_from: ProcessEmailFrom | None = None
    """Older mail is left alone. Absent: mail from the first enabling on; all: everything."""
    minimum_polling_interval: Annotated[
        timedelta,
        Parsed(
            values.parse_polling_interval,
            {"oneOf": [{"type": "integer", "minimum": 0, "maximum": 1440}, {"type": "string"}]},
            values.format_duration,
        ),
    ] = 5 * MINUTE
    """How often mailboxes are polled: minutes, or a duration."""
    max_concurrent_connections: Annotated[int, whole(1, 300)] = 10
    """Connections per mailbox, or per profile when the profile holds the credentials."""
    maintenance: Annotated[object, NotYet("maintenance windows", off=[])] = []
    """When the servers are left alone."""
    retry: Annotated[Retry, OrNothing] = Retry()
    """How long an outgoing message is tried."""
    rate_limits: Annotated[object, NotYet("rate limits of outgoing mail", off=[])] = []
    """Outgoing messages per login."""
    outcome_unknown: Annotated[
        OutcomePolicy, OneOf(OutcomePolicy, later={"probe": "search for the first copy"})
    ] = OutcomePolicy.RETRY
    """What follows when the answer to a message's final dot was lost: retry or hold."""
    destinations: Annotated[object, NotYet("destinations", off=[])] = []
    """Where incoming mail goes besides the store."""
    push: Annotated[bool, NotYet("IMAP", off=False)] = False
    """Whether the server tells of new mail."""


class MailboxCredentials(Section):
    """A mailbox's own login."""

    username: Annotated[str, text(200)] | None = None
    """Absent: the address."""
    password: AnySecret
    """As text, or {encrypted: …}, {file: …}, {env: …}, {credential: …}."""


class Mailbox(Section):
    """One address of a user or a queue."""

    address: Address
    """The email address; no two mailboxes share one, whatever the case of its letters."""
    name: Annotated[str, text(200)] | None = None
    """Absent: the address."""
    type: Annotated[MailboxType, OneOf(MailboxType)] = MailboxType.USER
    """user or queue."""
    owner: Address | None = None
    """Who is told about this mailbox's alerts."""
    tenant: Annotated[None, NotYet("tenants")] = None
    """Whose it is, where several share one syncd."""
    profile: Name | None = None
    """Absent: the default profile."""
    incoming: Direction | None = None
    """sync or none; absent: as email_settings says."""
    outgoing: Direction | None = None
    """sync or none; absent: as email_settings says."""
    credentials: MailboxCredentials | None = None
    """The login, when the profile's credentials come from the mailbox."""
    send_as: Annotated[tuple[Address, ...], OrEmpty] = ()
    """Other addresses this mailbox may send from."""
    delete_after_processing: Annotated[
        bool, Parsed(values.parse_delete_after_processing, {"type": "boolean"})
    ] = False
    """Whether a message is deleted on the server once it is in the store; queues only."""
    process_email_from: ProcessEmailFrom | None = None
    """The later of this and the profile's counts."""
    folders: Annotated[object, NotYet("IMAP", off=["INBOX"])] = ["INBOX"]
    """IMAP folders."""
    accept: Annotated[
        Accept,
        OneOf(
            Accept,
            later={
                "responses": "rules for incoming mail",
                "known-senders": "rules for incoming mail",
                "none": "rules for incoming mail",
            },
        ),
    ] = Accept.ALL
    """Which mail is taken: all."""
    destinations: Annotated[object, NotYet("destinations", off=[])] = []
    """Where incoming mail goes besides the store."""
    enabled: Flag = True
    """What the operator wants; what syncd found is the mailbox's state."""


class Settings(Section):
    """The configuration as a whole: syncd.yaml, what it includes, and the environment."""

    instance: Annotated[
        str, Parsed(values.parse_instance, pattern(values.INSTANCE.pattern))
    ] = "production"
    """This installation's name; a store that remembers another one is not touched."""
    store: Annotated[Store, OrNothing] = Store()
    """Where messages, ledger and queue live."""
    include: Annotated[
        tuple[
            Annotated[
                values.Include,
                Parsed(
                    values.parse_include,
                    {
                        "oneOf": [
                            {"type": "string", "minLength": 1},
                            {
                                "type": "object",
                                "properties": {
                                    "path": {"type": "string", "minLength": 1},
                                    "optional": {"type": "boolean"},
                                },
                                "required": ["path"],
                                "additionalProperties": False,
                            },
                        ]
                    },
                    str,
                ),
            ],
            ...,
        ],
        OrEmpty,
    ] = ()
    """Further files with profiles: and mailboxes:, as patterns beside this file."""
    encryption: Annotated[Encryption, OrNothing] = Encryption()
    """The keys that credentials are sealed with."""
    http: Annotated[Http, OrNothing] = Http()
    """The local socket."""
    network: Annotated[Network, OrNothing] = Network()
    """Limits and patience on the way to the mail servers."""
    limits: Annotated[Limits, OrNothing] = Limits()
    """How much at most."""
    reload: Annotated[Reload, OrNothing] = Reload()
    """What a reload may do without asking."""
    email_settings: Annotated[EmailSettings, OrNothing] = EmailSettings()
    """What holds for mailboxes that do not say otherwise."""
    alerts: Annotated[Alerts, OrNothing] = Alerts()
    """Who is told."""
    submission: Annotated[None, NotYet("submission by SMTP")] = None
    """Where local programs hand over mail by SMTP."""
    known_senders: Annotated[object, NotYet("known senders", off=[])] = []
    """Whose mail is taken where only known senders' is."""
    destinations: Annotated[object, NotYet("destinations", off=[])] = []
    """Where incoming mail goes besides the store."""
    log: Annotated[Log, OrNothing] = Log()
    """The log, on standard error."""
    metrics: Annotated[Metrics, OrNothing] = Metrics()
    """What is measured."""
    profiles: Annotated[tuple[Profile, ...], OrEmpty] = ()
    """Email server profiles."""
    mailboxes: Annotated[tuple[Mailbox, ...], OrEmpty] = ()
    """Mailboxes of users and queues."""

    _written: YamlMap = PrivateAttr(default_factory=lambda: YamlMap(Place("")))

    def written_as(self, tree: YamlMap) -> Self:
        """Remember what was written where, for `origin`; return these same settings."""
        self._written = tree
        return self

    @property
    def written(self) -> YamlMap:
        """What was written, each value with its place."""
        return self._written

    def origin(self, loc: Loc) -> str:
        """Say where a value comes from: `syncd.yaml:12:3`, `environment SYNCD_…`, `default`."""
        return str(place_of(self._written, loc) or "default")

    def key_path(self, loc: Loc) -> str:
        """Name a key as problems do: `profiles[contoso].outgoing.port`."""
        return key_path(self._written, loc)
