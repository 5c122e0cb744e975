-- What servers refuse is listed from the first refusal on, not only after the last.

CREATE INDEX ledger_failing ON ledger (mailbox_id) WHERE state = 'failing';
