"""Mail coming in. The story is `poll.py`; all else is vocabulary for it.

`look` lists a maildrop, as shortly as trust allows, beside what the ledger knows of it. `epochs`
begins the ledger of a mailbox, and begins it anew when everything got new names. `new_mail`
decides what each message calls for; `admit` and `headers` whether it may come in. `intake` takes
what arrives and hands it in batches to `record`, which commits message, body, ledger and event
together. `earlier` works through mail that was there before, in `slices`. `deletion` tells the
server what may go, `quarantine` keeps what could not be taken.

The one rule behind all of it: commit, then mark, then delete, then QUIT.
"""
