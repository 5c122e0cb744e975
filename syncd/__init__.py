"""syncd keeps an organisation's mailboxes and its application in step.

The tree is the mail's way: `incoming` pulls (story: `incoming.poll`), `outgoing` pushes
(story: `outgoing.send`), `store` keeps both, `scheduler` says when, `mailboxes` says whether,
`connections` and `protocols` speak to the servers, `daemon` puts it all together.
"""
