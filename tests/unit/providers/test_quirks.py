"""Which servers show pages instead of mailboxes."""

import pytest

from syncd.providers.quirks import shows_pages


@pytest.mark.parametrize("server", ["pop.gmail.com", "POP.Gmail.com.", "gmail.com"])
def test_gmail_shows_pages(server: str) -> None:
    assert shows_pages(server)


@pytest.mark.parametrize("server", ["pop.example.com", "notgmail.com", "gmail.com.example.org"])
def test_others_show_the_mailbox(server: str) -> None:
    assert not shows_pages(server)
