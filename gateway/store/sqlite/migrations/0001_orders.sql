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
-- For what meters say unasked.
CREATE INDEX meter_by_endpoint ON meter (json_extract(settings, '$.endpoint')) WHERE removed_at IS NULL;
CREATE INDEX meter_by_system_title ON meter (upper(json_extract(settings, '$.security.meter_system_title')))
WHERE removed_at IS NULL;

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
    state TEXT NOT NULL, -- one of those in the table of transitions
    reason TEXT,
    maybe_delivered INTEGER NOT NULL DEFAULT 0 CHECK (maybe_delivered = 0 OR maybe_delivered = 1),
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    closed_at INTEGER, -- NULL = open
    due_at INTEGER, -- NULL = nothing is to be done: held, or closed
    not_before INTEGER,
    expires_at INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    doubts INTEGER NOT NULL DEFAULT 0 CHECK (doubts >= 0),
    sent_position INTEGER, -- the token of the last intent
    body_digest BLOB NOT NULL,
    key TEXT,
    new_key TEXT,
    CHECK (
        (closed_at IS NOT NULL)
        = (state = 'accepted' OR state = 'rejected' OR state = 'expired' OR state = 'cancelled')
    ),
    CHECK ((due_at IS NULL) = (closed_at IS NOT NULL OR state = 'held')),
    CHECK (NOT maybe_delivered OR (state <> 'cancelled' AND state <> 'expired')),
    CHECK (maybe_delivered OR (state <> 'sending' AND state <> 'pending'))
) STRICT;

-- Chosen by closed_at, which changes once, so that the changes before that leave these indexes alone.
CREATE INDEX orders_open ON orders (meter, rank, number) WHERE closed_at IS NULL;
CREATE INDEX orders_open_by_number ON orders (number) WHERE closed_at IS NULL;
CREATE INDEX orders_expiring ON orders (expires_at) WHERE closed_at IS NULL AND expires_at IS NOT NULL;
CREATE INDEX orders_closed ON orders (closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX orders_not_accepted ON orders (state, number) WHERE closed_at IS NOT NULL AND state <> 'accepted';
CREATE INDEX orders_held ON orders (number) WHERE state = 'held';
CREATE INDEX orders_held_by_meter ON orders (meter) WHERE state = 'held';
CREATE INDEX orders_by_meter ON orders (meter, number);
-- The class shows the last token only: one order of a meter is under way at a time.
CREATE UNIQUE INDEX orders_under_way ON orders (meter)
WHERE state = 'sending' OR state = 'pending' OR state = 'reconciling';
-- What stands in the way of its meter's other orders though it is not under way: few.
CREATE INDEX orders_begun ON orders (meter)
WHERE state = 'in_doubt' OR maybe_delivered AND (state = 'queued' OR state = 'waiting');

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
    credited TEXT CHECK (credited = 'yes' OR credited = 'no' OR credited = 'unknown'),
    status_code INTEGER,
    reason TEXT,
    evidence TEXT,
    details TEXT,
    PRIMARY KEY (order_number, position)
) STRICT, WITHOUT ROWID;

-- Final, once for each token.
CREATE TABLE outcome (
    order_number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    at INTEGER NOT NULL,
    verdict TEXT NOT NULL
        CHECK (verdict = 'accepted' OR verdict = 'rejected' OR verdict = 'unreached' OR verdict = 'in_doubt'),
    credited TEXT NOT NULL CHECK (credited = 'yes' OR credited = 'no' OR credited = 'unknown'),
    status_code INTEGER,
    reason TEXT,
    evidence TEXT,
    details TEXT NOT NULL DEFAULT '{}',
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
    details TEXT NOT NULL
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
BEGIN SELECT CASE
    WHEN NEW.state <> 'queued' AND NEW.state <> 'waiting' OR NEW.maybe_delivered
        THEN RAISE(ABORT, 'an order begins as queued or waiting, undelivered')
    WHEN EXISTS (SELECT 1 FROM orders WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM orders WHERE number = NEW.number)
        THEN RAISE(ABORT, 'an order is never replaced')
END; END;

CREATE TRIGGER orders_transition BEFORE UPDATE OF state ON orders
BEGIN SELECT CASE
    WHEN NOT EXISTS (SELECT 1 FROM transition WHERE before = OLD.state AND after = NEW.state)
        THEN RAISE(ABORT, 'this state cannot follow that one')
    WHEN (NEW.state = 'accepted' OR NEW.state = 'rejected') AND EXISTS (
        SELECT 1 FROM token LEFT JOIN outcome USING (order_number, position)
        WHERE token.order_number = NEW.number
            AND (outcome.verdict IS NULL OR NEW.state = 'accepted' AND outcome.verdict <> 'accepted')
    ) THEN RAISE(ABORT, 'an order ends when each of its tokens has its outcome')
END; END;

CREATE TRIGGER orders_fixed BEFORE UPDATE ON orders
BEGIN SELECT CASE
    WHEN OLD.closed_at IS NOT NULL
        THEN RAISE(ABORT, 'a closed order never changes')
    WHEN OLD.maybe_delivered > NEW.maybe_delivered AND NOT (OLD.state = 'sending' AND NEW.state = 'waiting')
        THEN RAISE(ABORT, 'maybe delivered is taken back only when nothing left')
    WHEN OLD.id <> NEW.id OR OLD.number <> NEW.number OR OLD.meter <> NEW.meter
            OR OLD.body_digest <> NEW.body_digest OR OLD.created_at <> NEW.created_at
        THEN RAISE(ABORT, 'what an order is never changes')
END; END;

CREATE TRIGGER orders_kept BEFORE DELETE ON orders WHEN OLD.closed_at IS NULL
BEGIN SELECT RAISE(ABORT, 'an open order cannot be deleted'); END;

CREATE TRIGGER token_settled
BEFORE UPDATE OF tries, verdict, credited, status_code, reason, evidence, details ON token
WHEN EXISTS (SELECT 1 FROM outcome WHERE order_number = OLD.order_number AND position = OLD.position)
BEGIN SELECT RAISE(ABORT, 'a token with an outcome never changes'); END;

CREATE TRIGGER token_fixed BEFORE UPDATE OF order_number, position, last_digits, kind, amount, unit ON token
BEGIN SELECT RAISE(ABORT, 'what a token is never changes'); END;

CREATE TRIGGER token_kept BEFORE DELETE ON token
WHEN EXISTS (SELECT 1 FROM orders WHERE number = OLD.order_number AND closed_at IS NULL)
BEGIN SELECT RAISE(ABORT, 'a token of an open order cannot be deleted'); END;

CREATE TRIGGER outcome_once BEFORE INSERT ON outcome
WHEN EXISTS (SELECT 1 FROM outcome WHERE order_number = NEW.order_number AND position = NEW.position)
BEGIN SELECT RAISE(ABORT, 'an outcome is final'); END;

CREATE TRIGGER outcome_fixed BEFORE UPDATE ON outcome
BEGIN SELECT RAISE(ABORT, 'an outcome is final'); END;

CREATE TRIGGER outcome_kept BEFORE DELETE ON outcome
WHEN EXISTS (SELECT 1 FROM orders WHERE number = OLD.order_number AND closed_at IS NULL)
BEGIN SELECT RAISE(ABORT, 'an outcome is final'); END;

CREATE TRIGGER event_once BEFORE INSERT ON event WHEN EXISTS (SELECT 1 FROM event WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'events are only appended'); END;

CREATE TRIGGER event_fixed BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'events are only appended'); END;

CREATE TRIGGER event_kept BEFORE DELETE ON event
WHEN EXISTS (SELECT 1 FROM orders WHERE number = OLD.order_number AND closed_at IS NULL)
BEGIN SELECT RAISE(ABORT, 'events are only appended'); END;

CREATE TRIGGER token_seen_once BEFORE INSERT ON token_seen
WHEN EXISTS (SELECT 1 FROM token_seen WHERE meter = NEW.meter AND digest = NEW.digest)
BEGIN SELECT RAISE(ABORT, 'a token that works once belongs to one order'); END;

CREATE TRIGGER token_seen_fixed BEFORE UPDATE ON token_seen
BEGIN SELECT RAISE(ABORT, 'what was seen stays seen'); END;

CREATE TRIGGER token_seen_kept BEFORE DELETE ON token_seen
BEGIN SELECT RAISE(ABORT, 'what was seen stays seen'); END;

CREATE TRIGGER lane_once BEFORE INSERT ON lane WHEN EXISTS (SELECT 1 FROM lane WHERE meter = NEW.meter)
BEGIN SELECT RAISE(ABORT, 'a lane keeps its fence'); END;

CREATE TRIGGER lane_fence BEFORE UPDATE OF meter, fence, owner ON lane
WHEN NEW.meter <> OLD.meter OR NEW.fence < OLD.fence
    OR (OLD.owner IS NULL AND NEW.owner IS NOT NULL AND NEW.fence = OLD.fence)
BEGIN SELECT RAISE(ABORT, 'the fence of a lane only grows'); END;

CREATE TRIGGER lane_kept BEFORE DELETE ON lane
BEGIN SELECT RAISE(ABORT, 'a lane keeps its fence'); END;
