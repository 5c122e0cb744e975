"""A small, honest POP3 and SMTP server whose misbehaviour is scripted; stands apart from the product.

A `Sandbox` listens, a `Connection` moves bytes, a dialogue (`Pop3Dialogue`, `SmtpDialogue`)
turns what the client said into steps. Rules of `misbehaviour` bend those steps; a `Witness`
sees what really happened: the outside ledger of tests and of the demo.
"""
