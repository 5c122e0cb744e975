"""The demo's configuration is one that the daemon takes."""

from pathlib import Path

from syncd.cli.demo_world import ADDRESSES, DELETING, configuration
from syncd.config.load import load_settings
from syncd.model.mailbox import MailboxType


def test_the_configuration_passes_its_own_check(tmp_path: Path) -> None:
    file = tmp_path / "syncd.yaml"
    file.touch(mode=0o600)
    file.write_text(
        configuration(tmp_path, tmp_path / "syncd.sock", pop3_port=1110, smtp_port=1587)
    )
    settings = load_settings(file, environ={})
    assert [mailbox.address for mailbox in settings.mailboxes] == list(ADDRESSES)
    queues = [m for m in settings.mailboxes if m.type is MailboxType.QUEUE]
    deleting = [m.address for m in settings.mailboxes if m.delete_after_processing is True]
    assert len(queues) == 2
    assert deleting == [DELETING]
    assert settings.store.path == tmp_path / "syncd.db"
