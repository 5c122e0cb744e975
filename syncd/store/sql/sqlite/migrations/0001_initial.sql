-- The first schema. Moments are microseconds since 1970 UTC; states are contract words.

CREATE TABLE store_fact (              -- what the store knows of itself: instance, key check
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE counter (                 -- numbers handed out in blocks, alike in both dialects
    name TEXT PRIMARY KEY,
    next INTEGER NOT NULL
) STRICT;
INSERT INTO counter (name, next) VALUES ('message', 1), ('body', 1), ('outgoing', 1);

CREATE TABLE mailbox (
    id               INTEGER PRIMARY KEY,
    address          TEXT NOT NULL,
    address_key      TEXT NOT NULL UNIQUE,      -- both parts folded
    type             TEXT NOT NULL,
    profile          TEXT NOT NULL,
    tenant           TEXT,
    declared         INTEGER NOT NULL,          -- 1: YAML names it; 0: parked
    approval         TEXT NOT NULL,
    approval_by      TEXT,
    approval_at      INTEGER,
    first_enabled_at INTEGER,
    epoch            INTEGER NOT NULL DEFAULT 0,
    epoch_identity   TEXT,                      -- protocol|server|login of this epoch
    event_sequence   INTEGER NOT NULL DEFAULT 0,
    node             TEXT,                      -- the lease: who owns it …
    term             INTEGER NOT NULL DEFAULT 0 -- … and since which hand-over
) STRICT;

CREATE TABLE direction (               -- the status fields of contract 3, per direction
    mailbox_id           INTEGER NOT NULL REFERENCES mailbox (id),
    direction            TEXT NOT NULL,
    enabled              INTEGER NOT NULL DEFAULT 0,
    status               TEXT NOT NULL DEFAULT 'not_run',
    status_at            INTEGER,
    status_text          TEXT,
    next_at              INTEGER,
    postponed_until      INTEGER,
    postponed_why        TEXT,
    last_started_at      INTEGER,
    last_success_at      INTEGER,
    last_duration        INTEGER,               -- microseconds
    last_error           TEXT,                  -- JSON: code, level, server's words, remedy
    consecutive_failures INTEGER NOT NULL DEFAULT 0,
    refused_logins       INTEGER NOT NULL DEFAULT 0,
    first_refused_at     INTEGER,
    stopped_at           INTEGER,               -- set: stopped by a permanent failure
    taken_total          INTEGER NOT NULL DEFAULT 0,
    failed_total         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (mailbox_id, direction)
) STRICT, WITHOUT ROWID;

CREATE TABLE listing (                 -- what the last listing showed: the short poll's memory
    mailbox_id INTEGER PRIMARY KEY REFERENCES mailbox (id),
    epoch      INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    octets     INTEGER NOT NULL,
    last_uid   TEXT,
    full_at    INTEGER NOT NULL,                -- when UIDL was last read whole
    whole      INTEGER NOT NULL,                -- 1: every message of it was judged
    retry_at   INTEGER                          -- when a refused RETR or DELE is due again
) STRICT;

CREATE TABLE ledger (                  -- every server message ever seen; judged once
    mailbox_id     INTEGER NOT NULL REFERENCES mailbox (id),
    epoch          INTEGER NOT NULL,
    uid            TEXT NOT NULL,               -- UIDL, bytes as code points
    digest         BLOB NOT NULL,               -- x'' or the content's hash where UIDLs repeat
    state          TEXT NOT NULL,
    reason         TEXT,
    message_id     INTEGER,
    header_digest  BLOB,                        -- of Message-ID, Date, From, Subject
    copies         INTEGER NOT NULL DEFAULT 1,
    attempts       INTEGER NOT NULL DEFAULT 0,
    next_try_at    INTEGER,
    delete_pending INTEGER NOT NULL DEFAULT 0,
    deleted        INTEGER NOT NULL DEFAULT 0,  -- 1: by us, and the server has confirmed it
    octets         INTEGER,                     -- what LIST said of its size
    seen_at        INTEGER NOT NULL,            -- when it was entered
    PRIMARY KEY (mailbox_id, epoch, uid, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX ledger_quarantined ON ledger (mailbox_id) WHERE state = 'quarantined';
CREATE INDEX ledger_failing ON ledger (mailbox_id) WHERE state = 'failing';

CREATE TABLE body_chunk (              -- id = body_id * 65536 + n: one b-tree, no second index
    id   INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;

CREATE TABLE staged_body (             -- bodies whose message is not committed yet
    body_id   INTEGER PRIMARY KEY,
    staged_at INTEGER NOT NULL
) STRICT;

CREATE TABLE message (
    id             INTEGER PRIMARY KEY,
    mailbox_id     INTEGER NOT NULL REFERENCES mailbox (id),
    state          TEXT NOT NULL,
    reason         TEXT,
    octets         INTEGER NOT NULL,
    sha256         BLOB NOT NULL,
    body_id        INTEGER NOT NULL,
    stored_at      INTEGER NOT NULL,
    rfc_message_id TEXT,
    subject        TEXT NOT NULL,
    sender         TEXT NOT NULL,
    headers        TEXT NOT NULL,               -- JSON of the rest of model.mail.Headers
    UNIQUE (mailbox_id, sha256)                 -- the last guard against doubles
) STRICT;
CREATE INDEX message_quarantined ON message (id) WHERE state = 'quarantined';

CREATE TABLE event (                   -- numbered in commit order; AUTOINCREMENT never reuses
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    type       TEXT NOT NULL,
    version    INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    tenant     TEXT,
    mailbox_id INTEGER,
    address    TEXT,                            -- as it was then; a mailbox may be renamed
    sequence   INTEGER,
    data       TEXT NOT NULL
) STRICT;

CREATE TABLE outgoing (
    id                INTEGER PRIMARY KEY,
    mailbox_id        INTEGER NOT NULL REFERENCES mailbox (id),
    state             TEXT NOT NULL,
    reason            TEXT,                     -- why it waits, failed or is held, in words
    idempotency_key   TEXT,
    request_digest    BLOB,
    rfc_message_id    TEXT NOT NULL,
    sender            TEXT NOT NULL,            -- envelope
    subject           TEXT NOT NULL,
    octets            INTEGER NOT NULL,
    sha256            BLOB NOT NULL,
    body_id           INTEGER NOT NULL,
    eight_bit         INTEGER NOT NULL,         -- 1: the body needs 8BITMIME
    utf8              INTEGER NOT NULL,         -- 1: the headers need SMTPUTF8
    priority          INTEGER NOT NULL DEFAULT 0,
    metadata          TEXT,                     -- JSON, the application's own
    created_at        INTEGER NOT NULL,
    send_at           INTEGER,
    next_attempt_at   INTEGER,
    attempts          INTEGER NOT NULL DEFAULT 0,
    unknown_outcomes  INTEGER NOT NULL DEFAULT 0,
    claimed_term      INTEGER,                  -- the term under which it is `sending`
    after_dot_at      INTEGER,                  -- committed before the dot goes out
    final_at          INTEGER,
    UNIQUE (mailbox_id, idempotency_key)
) STRICT;
CREATE INDEX outgoing_due ON outgoing (mailbox_id, next_attempt_at)
    WHERE state IN ('pending_send', 'outcome_unknown');
CREATE INDEX outgoing_sending ON outgoing (mailbox_id) WHERE state = 'sending';

CREATE TABLE recipient (
    outgoing_id INTEGER NOT NULL REFERENCES outgoing (id),
    n           INTEGER NOT NULL,
    address     TEXT NOT NULL,
    state       TEXT NOT NULL,
    reply_code  INTEGER,
    enhanced    TEXT,
    words       TEXT,
    updated_at  INTEGER,
    PRIMARY KEY (outgoing_id, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempt (                 -- the delivery history, one row an attempt
    outgoing_id INTEGER NOT NULL REFERENCES outgoing (id),
    n           INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    server      TEXT NOT NULL,
    phase       TEXT NOT NULL,
    result      TEXT NOT NULL,
    words       TEXT NOT NULL,
    PRIMARY KEY (outgoing_id, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE alert (                   -- one open row per object and cause
    id              INTEGER PRIMARY KEY,
    code            TEXT NOT NULL,
    object          TEXT NOT NULL,              -- mailbox:ID, server:host:port, profile:NAME, store
    level           TEXT NOT NULL,
    text            TEXT NOT NULL,
    remedy          TEXT NOT NULL,
    opened_at       INTEGER NOT NULL,
    last_seen_at    INTEGER NOT NULL,
    count           INTEGER NOT NULL,
    acknowledged_at INTEGER,
    resolved_at     INTEGER
) STRICT;
CREATE UNIQUE INDEX alert_open ON alert (code, object) WHERE resolved_at IS NULL;
