"""A real Postfix of the test's own: a submission server that delivers into Dovecot and nowhere else."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.servers.certificates import Certificate
from tests.servers.debian import GROUPS, USERS
from tests.servers.dovecot import HOST, Dovecot
from tests.servers.process import (
    Folder,
    ServerFailed,
    ServerProcess,
    free_ports,
    is_listening,
    keep_log,
)

DOMAIN = "example.test"
POSTFIX = (USERS["postfix"], 0)
PRIVATE = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming")

NOWHERE = "error:5.1.2 nothing leaves this test server"


@dataclass(frozen=True, slots=True)
class PostfixOptions:
    """What a test may want to be different; `extra` is added to main.cf as it stands."""

    # Where mail for other domains goes: nowhere, or a sink on loopback: smtp:[127.0.0.1]:2500
    elsewhere: str = NOWHERE
    message_size_limit: int = 50_000_000
    extra: str = ""


@dataclass(frozen=True, slots=True)
class PostfixPorts:
    """Where the server listens, all on 127.0.0.1; every one asks for a login before it takes mail."""

    submission: int  # STARTTLS is required
    smtps: int
    plain: int  # no TLS at all
    trusted: int  # no login, no TLS: only for feeding mail in, as a peer's queue is fed


class Postfix:
    """A Postfix server; start it with `with Postfix(root, dovecot) as server:`.

    It takes mail for every user of `dovecot` in `example.test`, refuses unknown ones with 550
    5.1.1 at RCPT, and answers as told to addresses named by `answer`. Users log in as in Dovecot.
    """

    def __init__(
        self,
        root: Path,
        dovecot: Dovecot,
        options: PostfixOptions | None = None,
        *,
        certificate: Certificate | None = None,
    ) -> None:
        self.options = options or PostfixOptions()
        self.dovecot = dovecot
        self.authority = dovecot.authority
        self.host = HOST
        self.ports = PostfixPorts(0, 0, 0, 0)
        self._certificate = certificate or self.authority.good()
        self._folder = Folder(root, "postfix")
        self._answers: dict[str, str] = {}
        self._process: ServerProcess | None = None
        self._make_queue()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------ the process

    @property
    def log(self) -> Path:
        """Return the log file, with a line for each delivery and refusal."""
        return self._folder.path / "postfix.log"

    @property
    def process(self) -> ServerProcess:
        """Return the running process: to freeze it and thaw it."""
        if self._process is None:
            raise ServerFailed("not started")
        return self._process

    def start(self) -> None:
        """Choose free ports and start; when one is taken meanwhile by someone else, choose again."""
        self._folder.write("tls.pem", self._certificate.chain)
        self._folder.write("tls.key", self._certificate.key, 0o600)
        self._write_answers()
        for attempt in range(3):
            self.ports = PostfixPorts(*free_ports(4))
            self._folder.write("etc/main.cf", self._main())
            self._folder.write("etc/master.cf", self._master())
            try:
                self._launch()
            except ServerFailed:
                if attempt == 2:
                    keep_log(self.log)
                    raise
            else:
                return

    def restart(self) -> None:
        """Start again on the same ports with the same queue."""
        self.stop()
        self._launch()

    def stop(self) -> None:
        """Stop the server but keep its queue."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def close(self, *, keep: bool = False) -> None:
        """Stop the server and remove its folder; `keep` saves the log to .cache/servers."""
        if self._process is not None:
            self._process.kill()
            self._process = None
        if keep:
            keep_log(self.log)
        self._folder.remove()

    def _launch(self) -> None:
        # The master by itself: `postfix start` would bring a shell and half of its tools.
        self._process = ServerProcess(
            self._folder.root,
            ["/usr/lib/postfix/sbin/master", "-d", "-c", self._folder.inside / "etc"],
            self.log,
        )
        self._process.wait_until(lambda: is_listening(self.ports.submission))

    # ------------------------------------------------------------ who is taken, who is refused

    def answer(self, recipient: str, reply: str) -> None:
        """Answer RCPT TO for this address so from the next connection on: `451 4.7.1 come back later`."""
        self._answers[recipient] = reply
        self._write_answers()

    def forget_answers(self) -> None:
        """Treat every address by whether it is a user, again."""
        self._answers.clear()
        self._write_answers()

    def queued(self) -> int:
        """Return how many messages wait in the queue, being delivered or deferred."""
        folders = ("incoming", "active", "deferred", "maildrop", "hold")
        return sum(
            path.is_file()
            for name in folders
            for path in (self._folder.path / "queue" / name).rglob("*")
        )

    def _write_answers(self) -> None:
        self._folder.write(
            "etc/answers", "".join(f"{who} {reply}\n" for who, reply in self._answers.items())
        )

    # ------------------------------------------------------------ queue and configuration

    def _make_queue(self) -> None:
        own = self._folder
        own.make("etc")
        own.make("data", (USERS["postfix"], USERS["postfix"]), 0o700)
        own.make("queue")
        own.make("queue/pid")
        for name in (*PRIVATE, "private", "saved", "trace"):
            own.make(f"queue/{name}", POSTFIX, 0o700)
        own.make("queue/maildrop", (USERS["postfix"], GROUPS["postdrop"]), 0o730)
        own.make("queue/public", (USERS["postfix"], GROUPS["postdrop"]), 0o710)

    def _main(self) -> str:
        own = self._folder.inside
        return f"""
compatibility_level = 3.6
config_directory = {own}/etc
queue_directory = {own}/queue
data_directory = {own}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {own}/postfix.log
maillog_file_prefixes = {own}
inet_interfaces = {HOST}
inet_protocols = ipv4
myhostname = mail.{DOMAIN}
mydomain = {DOMAIN}
myorigin = {DOMAIN}
mynetworks =
smtpd_banner = $myhostname ESMTP

mydestination =
alias_maps =
local_recipient_maps =
local_transport = {NOWHERE}
relay_transport = {NOWHERE}
default_transport = {self.options.elsewhere}
relay_domains =
disable_dns_lookups = yes
smtp_host_lookup = native
notify_classes =
virtual_mailbox_domains = {DOMAIN}
virtual_mailbox_maps = texthash:{self.dovecot.user_map}
virtual_transport = lmtp:inet:{HOST}:{self.dovecot.ports.lmtp}
unknown_virtual_mailbox_reject_code = 550

smtpd_sasl_type = dovecot
smtpd_sasl_path = {self.dovecot.auth_socket}
smtpd_sasl_auth_enable = yes
smtpd_sasl_security_options = noanonymous
smtpd_tls_cert_file = {own}/tls.pem
smtpd_tls_key_file = {own}/tls.key
smtpd_tls_security_level = may
smtpd_client_restrictions =
smtpd_helo_restrictions =
smtpd_sender_restrictions =
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = check_recipient_access texthash:{own}/etc/answers, reject_unlisted_recipient, permit_sasl_authenticated, reject
smtpd_peername_lookup = no
smtpd_delay_reject = yes
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
message_size_limit = {self.options.message_size_limit}
virtual_mailbox_limit = 0
smtputf8_enable = yes
minimal_backoff_time = 1s
maximal_backoff_time = 5s
queue_run_delay = 1s
{self.options.extra}
"""

    def _master(self) -> str:
        ports = self.ports
        trusted = "permit_mynetworks,reject"
        # One client per smtpd: it reads users and answers anew for the next.
        return f"""
{HOST}:{ports.submission} inet n - n - - smtpd
  -o syslog_name=submission -o max_use=1 -o smtpd_tls_security_level=encrypt
{HOST}:{ports.smtps} inet n - n - - smtpd
  -o syslog_name=smtps -o max_use=1 -o smtpd_tls_wrappermode=yes
{HOST}:{ports.plain} inet n - n - - smtpd
  -o syslog_name=plain -o max_use=1 -o smtpd_tls_security_level=none
{HOST}:{ports.trusted} inet n - n - - smtpd
  -o syslog_name=trusted -o mynetworks={HOST} -o smtpd_tls_security_level=none
  -o smtpd_relay_restrictions={trusted} -o smtpd_recipient_restrictions={trusted}
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
lmtp unix - - n - - lmtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
