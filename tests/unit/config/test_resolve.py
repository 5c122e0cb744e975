"""From what was written to what is meant."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from syncd.config.resolve import Plan, resolve
from syncd.model.mailbox import Login, MailboxType
from syncd.model.profile import (
    BEGINNING,
    Authentication,
    IpVersion,
    MailProtocol,
    OutcomePolicy,
    RetryPolicy,
    Security,
)
from syncd.model.secret import SealedSecret, Secret
from tests.support.configuration import KEY_LINE, MAILBOX, PROFILE, loaded


def _plan(folder: Path, text: str) -> Plan:
    return resolve(loaded(folder, text))


def test_an_empty_configuration_has_the_defaults_of_the_contract(tmp_path: Path) -> None:
    plan = _plan(tmp_path, "")
    assert plan.instance == "production"
    assert plan.store == Path("/var/lib/syncd/syncd.db")
    assert plan.socket == Path("/run/syncd/syncd.sock")
    assert plan.keys == ()
    assert plan.network.max_connections == 500
    assert plan.network.max_connections_per_server == 100
    assert plan.network.logins_per_server == 20
    assert plan.network.logins_period == timedelta(seconds=1)
    assert plan.network.connect_timeout == timedelta(seconds=20)
    assert plan.network.command_timeout == timedelta(seconds=60)
    assert plan.network.session_timeout == timedelta(minutes=30)
    assert plan.network.allowed_ports is None
    assert plan.memory == 256 << 20
    assert plan.max_message_size == 150 << 20
    assert (plan.log_level, plan.log_format) == ("info", "json")
    assert plan.test_new_mailboxes
    assert (plan.profiles, plan.mailboxes) == ((), ())


def test_a_profile_has_the_defaults_of_the_contract(tmp_path: Path) -> None:
    (profile,) = _plan(tmp_path, PROFILE).profiles
    assert profile.minimum_polling_interval == timedelta(minutes=5)
    assert profile.max_concurrent_connections == 10
    assert profile.retry == RetryPolicy()
    assert profile.outcome_unknown is OutcomePolicy.RETRY
    assert profile.process_email_from is None
    assert profile.enabled
    assert not profile.shares_login
    assert profile.incoming is not None
    assert profile.incoming.protocol is MailProtocol.POP3
    assert profile.incoming.place == "pop3.contoso.com:995"
    assert profile.incoming.security is Security.TLS
    assert profile.incoming.authentication is Authentication.AUTO
    assert not profile.incoming.allow_plaintext_login
    assert profile.outgoing is not None
    assert profile.outgoing.protocol is MailProtocol.SMTP
    assert profile.outgoing.place == "smtp.contoso.com:465"


def test_a_port_is_filled_from_protocol_and_security(tmp_path: Path) -> None:
    ports = {}
    for security in Security:
        sides = f"server: s, security: {security}"
        profile = f"{{name: p, type: pop3-smtp, incoming: {{{sides}}}, outgoing: {{{sides}}}}}"
        (filled,) = _plan(tmp_path, f"profiles: [{profile}]").profiles
        assert filled.incoming is not None
        assert filled.outgoing is not None
        ports[security] = (filled.incoming.port, filled.outgoing.port)
    assert ports == {
        Security.TLS: (995, 465),
        Security.STARTTLS: (110, 587),
        Security.NONE: (110, 587),
    }


def test_everything_a_profile_says_is_taken_over(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\n")
    (profile,) = _plan(
        tmp_path,
        f"""
profiles:
  - name: contoso
    type: pop3-smtp
    description: Hosting provider
    owner: postmaster@contoso.com
    enabled: false
    incoming:
      server: pop3.contoso.com
      port: 1995
      security: starttls
      authentication: cram-md5
      tls_ca: {bundle}
      tls_server_name: mail.contoso.net
      tls_pin: {"AB" * 32}
      allow_plaintext_login: true
      ip: 4
      source_address: 192.0.2.7
    process_email_from: all
    minimum_polling_interval: 0
    max_concurrent_connections: 300
    retry: {{first: 2s, longest: 1m, lifetime: 10m, warn_after: 5m}}
    outcome_unknown: hold
""",
    ).profiles
    assert profile.description == "Hosting provider"
    assert profile.owner == "postmaster@contoso.com"
    assert not profile.enabled
    assert profile.outgoing is None
    assert profile.process_email_from == BEGINNING
    assert profile.minimum_polling_interval == timedelta(0)
    assert profile.max_concurrent_connections == 300
    assert profile.retry == RetryPolicy(
        first=timedelta(seconds=2),
        longest=timedelta(minutes=1),
        lifetime=timedelta(minutes=10),
        warn_after=timedelta(minutes=5),
    )
    assert profile.outcome_unknown is OutcomePolicy.HOLD
    side = profile.incoming
    assert side is not None
    assert (side.port, side.security) == (1995, Security.STARTTLS)
    assert side.authentication is Authentication.CRAM_MD5
    assert (side.tls_ca, side.tls_server_name) == (bundle, "mail.contoso.net")
    assert side.tls_pin == "ab" * 32
    assert side.allow_plaintext_login
    assert (side.ip, side.source_address) == (IpVersion.IPV4, "192.0.2.7")


def test_a_mailbox_gets_the_default_profile_and_settings(tmp_path: Path) -> None:
    (mailbox,) = _plan(tmp_path, PROFILE + MAILBOX).mailboxes
    assert mailbox.profile.name == "contoso"
    assert mailbox.name == mailbox.address == "ann@contoso.com"
    assert mailbox.type is MailboxType.USER
    assert (mailbox.incoming, mailbox.outgoing, mailbox.enabled) == (True, True, True)
    assert mailbox.incoming_login == Login(
        username="ann", password=Secret("geheim"), servers=BOTH
    )
    assert mailbox.outgoing_login == mailbox.incoming_login
    assert mailbox.needs_approval
    assert not mailbox.delete_after_processing


def test_the_profile_that_email_settings_name_is_the_default(tmp_path: Path) -> None:
    profile = PROFILE.replace("    default: true\n", "")
    settings = "email_settings: {profile: contoso}\n"
    (mailbox,) = _plan(tmp_path, settings + profile + MAILBOX).mailboxes
    assert mailbox.profile.name == "contoso"


def test_a_mailbox_without_a_user_name_logs_in_by_its_address(tmp_path: Path) -> None:
    mailbox = MAILBOX.replace("username: ann, ", "")
    (resolved,) = _plan(tmp_path, PROFILE + mailbox).mailboxes
    assert resolved.incoming_login is not None
    assert resolved.incoming_login.username == "ann@contoso.com"


def test_a_direction_that_is_off_has_no_login(tmp_path: Path) -> None:
    settings = "email_settings: {incoming: none}\n"
    (mailbox,) = _plan(tmp_path, settings + PROFILE + MAILBOX).mailboxes
    assert not mailbox.incoming
    assert mailbox.incoming_login is None
    assert mailbox.outgoing_login is not None
    back = MAILBOX + "    incoming: sync\n    outgoing: none\n"
    (mailbox,) = _plan(tmp_path, settings + PROFILE + back).mailboxes
    assert (mailbox.incoming, mailbox.outgoing) == (True, False)


def test_users_and_queues_have_switches_of_their_own_for_approval(tmp_path: Path) -> None:
    switches = "email_settings: {process_only_approved_users: false}\n"
    queue = "  - {address: q@contoso.com, type: queue, credentials: {password: geheim}}\n"
    user, desk = _plan(tmp_path, switches + PROFILE + MAILBOX + queue).mailboxes
    assert not user.needs_approval
    assert desk.needs_approval


def test_the_later_of_the_two_dates_counts(tmp_path: Path) -> None:
    early, late = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"
    february = datetime(2026, 2, 1, tzinfo=UTC)
    for profiles, own, expected in [
        (early, late, february),
        (late, early, february),
        (late, None, february),
        (None, late, february),
        (early, "all", datetime(2026, 1, 1, tzinfo=UTC)),
        ("all", None, BEGINNING),
        (None, None, None),
    ]:
        profile = PROFILE + (f"    process_email_from: {profiles}\n" if profiles else "")
        mailbox = MAILBOX + (f"    process_email_from: {own}\n" if own else "")
        (resolved,) = _plan(tmp_path, profile + mailbox).mailboxes
        assert resolved.process_email_from == expected


def test_a_queue_may_be_emptied_and_have_further_addresses(tmp_path: Path) -> None:
    queue = MAILBOX + (
        "    type: queue\n    delete_after_processing: true\n    name: Desk\n"
        "    owner: boss@contoso.com\n    send_as: [sales@contoso.com]\n    enabled: false\n"
    )
    (mailbox,) = _plan(tmp_path, PROFILE + queue).mailboxes
    assert mailbox.delete_after_processing
    assert (mailbox.name, mailbox.owner) == ("Desk", "boss@contoso.com")
    assert mailbox.send_as == ("sales@contoso.com",)
    assert not mailbox.enabled


BOTH = ("pop3.contoso.com", "smtp.contoso.com")
MASTER = "username: syncd, password: geheim"


def test_a_profiles_login_names_the_mailbox_on_both_sides(tmp_path: Path) -> None:
    held = f'    credentials: {{source: profile, {MASTER}, impersonation: "{{address}}*{{username}}"}}\n'
    mailboxes = "mailboxes: [{address: ann@contoso.com}, {address: ben@contoso.com}]\n"
    ann, ben = _plan(tmp_path, PROFILE + held + mailboxes).mailboxes
    assert ann.profile.shares_login
    assert ann.incoming_login == Login(
        username="ann@contoso.com*syncd",
        password=Secret("geheim"),
        of_profile=True,
        servers=BOTH,
    )
    assert ann.outgoing_login == ann.incoming_login
    assert ben.incoming_login is not None
    assert ben.incoming_login.username == "ben@contoso.com*syncd"


def test_an_authorization_identity_leaves_the_login_as_it_is(tmp_path: Path) -> None:
    profile = PROFILE.replace(".com}", ".com, authentication: plain}")
    held = f"    credentials: {{source: profile, {MASTER}, impersonation: authzid}}\n"
    mailboxes = "mailboxes: [{address: ann@contoso.com}]\n"
    (ann,) = _plan(tmp_path, profile + held + mailboxes).mailboxes
    assert ann.incoming_login == Login(
        username="syncd",
        password=Secret("geheim"),
        authorize_as="ann@contoso.com",
        of_profile=True,
        servers=BOTH,
    )


def test_outgoing_credentials_of_the_profile_replace_the_mailboxs(tmp_path: Path) -> None:
    held = (
        "    credentials:\n      outgoing: {source: profile, username: relay,"
        ' password: {encrypted: "v1:x"}}\n'
    )
    key = f"encryption: {{keys: ['{KEY_LINE}']}}\n"
    (ann,) = _plan(tmp_path, key + PROFILE + held + MAILBOX).mailboxes
    assert not ann.profile.shares_login
    assert ann.incoming_login == Login(
        username="ann", password=Secret("geheim"), servers=("pop3.contoso.com",)
    )
    assert ann.outgoing_login == Login(
        username="relay",
        password=SealedSecret("v1:x"),
        of_profile=True,
        servers=("smtp.contoso.com",),
        is_separate_outgoing=True,
    )


def test_outgoing_credentials_of_the_mailbox_replace_the_profiles(tmp_path: Path) -> None:
    held = f"    credentials: {{source: profile, {MASTER}, outgoing: {{source: mailbox}}}}\n"
    (ann,) = _plan(tmp_path, PROFILE + held + MAILBOX).mailboxes
    assert ann.incoming_login is not None
    assert ann.incoming_login.username == "syncd"
    assert ann.outgoing_login == Login(
        username="ann",
        password=Secret("geheim"),
        servers=("smtp.contoso.com",),
        is_separate_outgoing=True,
    )


def test_the_port_policy_becomes_a_set(tmp_path: Path) -> None:
    plan = _plan(tmp_path, "network: {allowed_ports: us-government}")
    assert plan.network.allowed_ports == frozenset({80, 443, 465, 995})
