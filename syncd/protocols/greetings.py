"""Whose greeting is it? For servers that turn out to speak another protocol than was wanted."""


def who_greets(greeting: str) -> str | None:
    """Say who begins a session so, as `an SMTP server`; None where nobody is known by it."""
    if greeting.startswith("+OK"):
        return "a POP3 server"
    if greeting.startswith(("* OK", "* PREAUTH", "* BYE")):
        return "an IMAP server"
    if greeting.startswith(("220 ", "220-")) or "ESMTP" in greeting:
        return "an SMTP server"
    return None
