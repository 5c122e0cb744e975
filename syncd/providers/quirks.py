"""What single providers do differently and syncd must know before it asks."""

GMAIL_POP3 = ("gmail.com", "googlemail.com", "google.com")
"""Gmail shows a maildrop in pages: what was fetched disappears after QUIT and older mail takes
its place, so neither counts nor the last UIDL say that nothing is new (faults 58)."""


def shows_pages(server: str) -> bool:
    """Tell whether this POP3 server's listing is a page of the mailbox, not the mailbox."""
    name = server.lower().rstrip(".")
    return any(name == domain or name.endswith(f".{domain}") for domain in GMAIL_POP3)
