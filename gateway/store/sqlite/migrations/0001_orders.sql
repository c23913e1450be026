-- Meters, links, lanes, orders and their story.
-- Times are whole microseconds since 1970 in UTC. What is sealed is opaque here. What may not happen to an order is
-- refused by the triggers below, whoever writes.

CREATE TABLE meter (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    link TEXT NOT NULL,
    settings TEXT NOT NULL CHECK (json_valid(settings)),
    secrets BLOB NOT NULL, -- sealed as meter:<id>
    version INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    last_seen_at INTEGER,
    removed_at INTEGER -- its history, its fence and its counters outlive it
) STRICT;

CREATE INDEX meter_by_link ON meter (link, id) WHERE removed_at IS NULL;

-- Links that somebody gave limits to; others exist by being named by a meter.
CREATE TABLE link (
    id TEXT PRIMARY KEY,
    concurrency INTEGER CHECK (concurrency > 0),
    rate_per_second REAL CHECK (rate_per_second > 0),
    burst INTEGER NOT NULL DEFAULT 1 CHECK (burst > 0),
    paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1))
) STRICT, WITHOUT ROWID;

-- One for each meter: mutex, fence, and place in the queue.
CREATE TABLE lane (
    meter INTEGER PRIMARY KEY REFERENCES meter (number),
    link TEXT, -- NULL = nobody shares it
    rank INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER, -- NULL = no order is waiting
    backs_off_until INTEGER, -- the meter was out of reach
    owner TEXT,
    fence INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX lane_ready ON lane (link, rank, due_at) WHERE owner IS NULL AND due_at IS NOT NULL;
CREATE INDEX lane_by_link ON lane (link) WHERE link IS NOT NULL;

CREATE TABLE orders (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    meter INTEGER NOT NULL REFERENCES meter (number),
    rank INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN (
        'queued', 'waiting', 'sending', 'pending', 'in_doubt', 'reconciling', 'held',
        'accepted', 'rejected', 'expired', 'cancelled'
    )),
    reason TEXT,
    maybe_delivered INTEGER NOT NULL DEFAULT 0 CHECK (maybe_delivered IN (0, 1)),
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    due_at INTEGER, -- NULL = nothing is to be done: held, or closed
    not_before INTEGER,
    expires_at INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    doubts INTEGER NOT NULL DEFAULT 0 CHECK (doubts >= 0),
    sent_position INTEGER, -- the token of the last intent
    body_digest BLOB NOT NULL,
    key TEXT CHECK (key IS NULL OR json_valid(key)),
    new_key TEXT CHECK (new_key IS NULL OR json_valid(new_key)),
    CHECK ((due_at IS NULL) = (state IN ('held', 'accepted', 'rejected', 'expired', 'cancelled'))),
    CHECK (NOT (maybe_delivered AND state IN ('cancelled', 'expired'))),
    CHECK (maybe_delivered OR state NOT IN ('sending', 'pending'))
) STRICT;

CREATE INDEX orders_open ON orders (meter, rank, number) WHERE due_at IS NOT NULL;
CREATE INDEX orders_open_by_number ON orders (number) WHERE due_at IS NOT NULL;
CREATE INDEX orders_by_meter ON orders (meter, number);
CREATE INDEX orders_rare ON orders (state, number) WHERE state IN ('held', 'rejected', 'expired', 'cancelled');
CREATE INDEX orders_expiring ON orders (expires_at) WHERE expires_at IS NOT NULL AND due_at IS NOT NULL;
-- The class shows the last token only: one order of a meter is under way at a time.
CREATE UNIQUE INDEX orders_under_way ON orders (meter) WHERE state IN ('sending', 'pending', 'reconciling');

CREATE TABLE token (
    order_number INTEGER NOT NULL REFERENCES orders (number),
    position INTEGER NOT NULL CHECK (position >= 0),
    sealed BLOB NOT NULL, -- as token:<order id>:<position>
    last_digits TEXT NOT NULL CHECK (length(last_digits) = 4),
    kind TEXT NOT NULL,
    amount TEXT,
    unit TEXT,
    tries INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
    before BLOB, -- what the meter showed before the last try; sealed as before:<order id>:<position>
    verdict TEXT, -- from here on: as things stand
    credited TEXT CHECK (credited IN ('yes', 'no', 'unknown')),
    status_code INTEGER,
    reason TEXT,
    evidence TEXT,
    details TEXT CHECK (details IS NULL OR json_valid(details)),
    PRIMARY KEY (order_number, position)
) STRICT, WITHOUT ROWID;

-- Final, once for each token.
CREATE TABLE outcome (
    order_number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    at INTEGER NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('accepted', 'rejected', 'unreached', 'in_doubt')),
    credited TEXT NOT NULL CHECK (credited IN ('yes', 'no', 'unknown')),
    status_code INTEGER,
    reason TEXT,
    evidence TEXT,
    details TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(details)),
    PRIMARY KEY (order_number, position),
    FOREIGN KEY (order_number, position) REFERENCES token (order_number, position),
    CHECK (verdict <> 'accepted' OR credited = 'yes')
) STRICT, WITHOUT ROWID;

-- Tokens that work once, for ever: a keyed digest, and the order that carried it.
CREATE TABLE token_seen (
    meter INTEGER NOT NULL REFERENCES meter (number),
    digest BLOB NOT NULL,
    order_id TEXT NOT NULL,
    PRIMARY KEY (meter, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    order_number INTEGER NOT NULL REFERENCES orders (number),
    at INTEGER NOT NULL,
    name TEXT NOT NULL,
    position INTEGER,
    details TEXT NOT NULL CHECK (json_valid(details))
) STRICT;

CREATE INDEX event_by_order ON event (order_number, number);

-- What may follow what.
CREATE TABLE transition (
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    change TEXT NOT NULL,
    PRIMARY KEY (before, after, change)
) STRICT, WITHOUT ROWID;

INSERT INTO transition (change, before, after) VALUES
    ('send', 'queued', 'sending'),
    ('send', 'waiting', 'sending'),
    ('send', 'sending', 'sending'),
    ('send', 'pending', 'sending'),
    ('send', 'reconciling', 'sending'),
    ('take_back', 'sending', 'waiting'),
    ('postpone', 'queued', 'waiting'),
    ('postpone', 'waiting', 'waiting'),
    ('pend', 'sending', 'pending'),
    ('pend', 'pending', 'pending'),
    ('pend', 'reconciling', 'pending'),
    ('doubt', 'sending', 'in_doubt'),
    ('doubt', 'pending', 'in_doubt'),
    ('doubt', 'in_doubt', 'in_doubt'),
    ('doubt', 'reconciling', 'in_doubt'),
    ('reconcile', 'sending', 'reconciling'),
    ('reconcile', 'pending', 'reconciling'),
    ('reconcile', 'in_doubt', 'reconciling'),
    ('reconcile', 'reconciling', 'reconciling'),
    ('continue', 'queued', 'queued'),
    ('continue', 'waiting', 'queued'),
    ('continue', 'sending', 'queued'),
    ('continue', 'pending', 'queued'),
    ('continue', 'reconciling', 'queued'),
    ('continue', 'held', 'queued'),
    ('accept', 'sending', 'accepted'),
    ('accept', 'pending', 'accepted'),
    ('accept', 'reconciling', 'accepted'),
    ('accept', 'held', 'accepted'),
    ('reject', 'queued', 'rejected'),
    ('reject', 'waiting', 'rejected'),
    ('reject', 'sending', 'rejected'),
    ('reject', 'pending', 'rejected'),
    ('reject', 'reconciling', 'rejected'),
    ('reject', 'held', 'rejected'),
    ('hold', 'queued', 'held'),
    ('hold', 'waiting', 'held'),
    ('hold', 'sending', 'held'),
    ('hold', 'pending', 'held'),
    ('hold', 'in_doubt', 'held'),
    ('hold', 'reconciling', 'held'),
    ('expire', 'queued', 'expired'),
    ('expire', 'waiting', 'expired'),
    ('cancel', 'queued', 'cancelled'),
    ('cancel', 'waiting', 'cancelled'),
    ('cancel', 'held', 'cancelled'),
    ('retry', 'held', 'queued'),
    ('read_again', 'held', 'in_doubt'),
    ('read_again', 'in_doubt', 'in_doubt'),
    ('restore', 'queued', 'in_doubt'),
    ('restore', 'waiting', 'in_doubt'),
    ('restore', 'sending', 'in_doubt'),
    ('restore', 'pending', 'in_doubt'),
    ('restore', 'in_doubt', 'in_doubt'),
    ('restore', 'reconciling', 'in_doubt');

CREATE TRIGGER transition_is_fixed_update BEFORE UPDATE ON transition
BEGIN SELECT RAISE(ABORT, 'the table of transitions is fixed'); END;
CREATE TRIGGER transition_is_fixed_insert BEFORE INSERT ON transition
BEGIN SELECT RAISE(ABORT, 'the table of transitions is fixed'); END;
CREATE TRIGGER transition_is_fixed_delete BEFORE DELETE ON transition
BEGIN SELECT RAISE(ABORT, 'the table of transitions is fixed'); END;

CREATE TRIGGER orders_begin BEFORE INSERT ON orders
WHEN NEW.state NOT IN ('queued', 'waiting') OR NEW.maybe_delivered
BEGIN SELECT RAISE(ABORT, 'an order begins as queued or waiting, undelivered'); END;

CREATE TRIGGER orders_transition BEFORE UPDATE OF state ON orders
WHEN NOT EXISTS (SELECT 1 FROM transition WHERE before = OLD.state AND after = NEW.state)
BEGIN SELECT RAISE(ABORT, 'this state cannot follow that one'); END;

CREATE TRIGGER orders_closed BEFORE UPDATE ON orders
WHEN OLD.state IN ('accepted', 'rejected', 'expired', 'cancelled')
BEGIN SELECT RAISE(ABORT, 'a closed order never changes'); END;

CREATE TRIGGER orders_identity BEFORE UPDATE OF number, id, meter, body_digest, created_at ON orders
BEGIN SELECT RAISE(ABORT, 'what an order is never changes'); END;

CREATE TRIGGER orders_mark BEFORE UPDATE OF maybe_delivered ON orders
WHEN OLD.maybe_delivered AND NOT NEW.maybe_delivered AND NOT (OLD.state = 'sending' AND NEW.state = 'waiting')
BEGIN SELECT RAISE(ABORT, 'maybe delivered is taken back only when nothing left'); END;

CREATE TRIGGER orders_settled BEFORE UPDATE OF state ON orders
WHEN NEW.state IN ('accepted', 'rejected') AND EXISTS (
    SELECT 1 FROM token LEFT JOIN outcome USING (order_number, position)
    WHERE token.order_number = NEW.number
      AND (outcome.verdict IS NULL OR (NEW.state = 'accepted' AND outcome.verdict <> 'accepted'))
)
BEGIN SELECT RAISE(ABORT, 'an order ends when each of its tokens has its outcome'); END;

CREATE TRIGGER orders_kept BEFORE DELETE ON orders
WHEN OLD.state NOT IN ('accepted', 'rejected', 'expired', 'cancelled')
BEGIN SELECT RAISE(ABORT, 'an open order cannot be deleted'); END;

CREATE TRIGGER token_settled
BEFORE UPDATE OF tries, verdict, credited, status_code, reason, evidence, details ON token
WHEN EXISTS (SELECT 1 FROM outcome WHERE order_number = OLD.order_number AND position = OLD.position)
BEGIN SELECT RAISE(ABORT, 'a token with an outcome never changes'); END;

CREATE TRIGGER token_identity BEFORE UPDATE OF order_number, position, last_digits, kind, amount, unit ON token
BEGIN SELECT RAISE(ABORT, 'what a token is never changes'); END;

CREATE TRIGGER token_kept BEFORE DELETE ON token
WHEN EXISTS (
    SELECT 1 FROM orders WHERE number = OLD.order_number
    AND state NOT IN ('accepted', 'rejected', 'expired', 'cancelled')
)
BEGIN SELECT RAISE(ABORT, 'a token of an open order cannot be deleted'); END;

CREATE TRIGGER outcome_once BEFORE UPDATE ON outcome
BEGIN SELECT RAISE(ABORT, 'an outcome is final'); END;

CREATE TRIGGER outcome_kept BEFORE DELETE ON outcome
WHEN EXISTS (
    SELECT 1 FROM orders WHERE number = OLD.order_number
    AND state NOT IN ('accepted', 'rejected', 'expired', 'cancelled')
)
BEGIN SELECT RAISE(ABORT, 'an outcome is final'); END;

CREATE TRIGGER event_once BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'events are only appended'); END;

CREATE TRIGGER event_kept BEFORE DELETE ON event
WHEN EXISTS (
    SELECT 1 FROM orders WHERE number = OLD.order_number
    AND state NOT IN ('accepted', 'rejected', 'expired', 'cancelled')
)
BEGIN SELECT RAISE(ABORT, 'events are only appended'); END;

CREATE TRIGGER token_seen_fixed BEFORE UPDATE ON token_seen
BEGIN SELECT RAISE(ABORT, 'what was seen stays seen'); END;

CREATE TRIGGER token_seen_kept BEFORE DELETE ON token_seen
BEGIN SELECT RAISE(ABORT, 'what was seen stays seen'); END;

CREATE TRIGGER lane_fence BEFORE UPDATE OF fence, owner ON lane
WHEN NEW.fence < OLD.fence OR (OLD.owner IS NULL AND NEW.owner IS NOT NULL AND NEW.fence = OLD.fence)
BEGIN SELECT RAISE(ABORT, 'the fence of a lane only grows'); END;

CREATE TRIGGER lane_kept BEFORE DELETE ON lane
BEGIN SELECT RAISE(ABORT, 'a lane keeps its fence'); END;
