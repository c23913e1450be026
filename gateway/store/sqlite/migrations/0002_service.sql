-- What the service keeps beside orders: settings of its own, data keys, counters, API keys, the audit, webhooks, figures,
-- and what is left of orders that were removed. Times are whole microseconds since 1970 in UTC.

CREATE TABLE setting (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Data keys, sealed by key-encryption keys. While the operator's key is being changed, each stands here twice: sealed by
-- the old one and by the new one, which has the higher round.
CREATE TABLE data_key (
    id INTEGER NOT NULL CHECK (id BETWEEN 0 AND 4294967295),
    sealed_by TEXT NOT NULL, -- the id of the key-encryption key
    round INTEGER NOT NULL,
    purpose TEXT NOT NULL CHECK (purpose = 'data' OR purpose = 'digest'),
    sealed BLOB NOT NULL,
    made_at INTEGER NOT NULL,
    PRIMARY KEY (id, sealed_by)
) STRICT, WITHOUT ROWID;

-- About how many records each data key has sealed.
CREATE TABLE data_key_use (
    id INTEGER NOT NULL PRIMARY KEY,
    records INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Invocation counters, one line for each meter and key. They outlive the meter's entry in the registry: the same key must
-- never see the same counter again.
CREATE TABLE counter (
    meter TEXT NOT NULL,
    key_name TEXT NOT NULL,
    next_own INTEGER CHECK (next_own BETWEEN 0 AND 4294967296), -- the first that nobody has reserved; NULL = not known
    last_received INTEGER NOT NULL DEFAULT -1 CHECK (last_received BETWEEN -1 AND 4294967295),
    PRIMARY KEY (meter, key_name)
) STRICT, WITHOUT ROWID;

CREATE INDEX counter_near_end ON counter (next_own) WHERE next_own > 3221225472;

CREATE TRIGGER counter_never_goes_back BEFORE UPDATE ON counter
WHEN NEW.meter <> OLD.meter OR NEW.key_name <> OLD.key_name
    OR NEW.last_received < OLD.last_received
    OR (OLD.next_own IS NOT NULL AND (NEW.next_own IS NULL OR NEW.next_own < OLD.next_own))
BEGIN
    SELECT RAISE(ABORT, 'a counter never goes back');
END;

CREATE TRIGGER counter_is_never_removed BEFORE DELETE ON counter
BEGIN
    SELECT RAISE(ABORT, 'a counter is never removed');
END;

-- INSERT OR REPLACE would get round both of them.
CREATE TRIGGER counter_is_never_replaced BEFORE INSERT ON counter
WHEN EXISTS (SELECT 1 FROM counter WHERE meter = NEW.meter AND key_name = NEW.key_name)
BEGIN
    SELECT RAISE(ABORT, 'a counter is never replaced');
END;

CREATE TABLE api_key (
    id TEXT NOT NULL PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32), -- SHA-256 of the whole key
    name TEXT NOT NULL,
    scopes TEXT NOT NULL, -- a list in JSON
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    details TEXT NOT NULL -- JSON
) STRICT;

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit is never changed');
END;

CREATE TRIGGER audit_is_never_removed BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit is never removed');
END;

CREATE TRIGGER audit_is_never_replaced BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE number = NEW.number)
BEGIN
    SELECT RAISE(ABORT, 'the audit is never replaced');
END;

CREATE TABLE webhook (
    id TEXT NOT NULL PRIMARY KEY,
    url TEXT NOT NULL,
    secret BLOB NOT NULL, -- sealed as webhook:<id>
    events TEXT NOT NULL, -- a list in JSON, as the caller gave it
    is_active INTEGER NOT NULL CHECK (is_active = 0 OR is_active = 1),
    created_at INTEGER NOT NULL,
    waiting INTEGER NOT NULL DEFAULT 0, -- deliveries, kept by the triggers below
    dead INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Which names of events active webhooks want: all that an event's own transaction looks at.
CREATE TABLE webhook_event (
    name TEXT NOT NULL,
    webhook TEXT NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    PRIMARY KEY (name, webhook)
) STRICT, WITHOUT ROWID;

CREATE INDEX webhook_event_of_webhook ON webhook_event (webhook);

CREATE TABLE webhook_delivery (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook TEXT NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    event INTEGER NOT NULL, -- its number
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    is_dead INTEGER NOT NULL DEFAULT 0 CHECK (is_dead = 0 OR is_dead = 1),
    last_error TEXT
) STRICT;

CREATE INDEX webhook_delivery_due ON webhook_delivery (webhook, is_dead, due_at, number);
CREATE INDEX webhook_delivery_of_event ON webhook_delivery (event);

CREATE TRIGGER webhook_delivery_added AFTER INSERT ON webhook_delivery
BEGIN
    UPDATE webhook SET waiting = waiting + 1 - NEW.is_dead, dead = dead + NEW.is_dead WHERE id = NEW.webhook;
END;

CREATE TRIGGER webhook_delivery_changed AFTER UPDATE OF is_dead ON webhook_delivery
WHEN NEW.is_dead <> OLD.is_dead
BEGIN
    UPDATE webhook SET waiting = waiting + OLD.is_dead - NEW.is_dead, dead = dead + NEW.is_dead - OLD.is_dead
    WHERE id = NEW.webhook;
END;

CREATE TRIGGER webhook_delivery_removed AFTER DELETE ON webhook_delivery
BEGIN
    UPDATE webhook SET waiting = waiting - 1 + OLD.is_dead, dead = dead - OLD.is_dead WHERE id = OLD.webhook;
END;

-- How many orders there are in each state, kept by who changes them, so that nobody has to count a million. Open orders
-- by reason, too; closed ones since the beginning, whether they are still here or not.
CREATE TABLE order_count (
    state TEXT NOT NULL,
    reason TEXT NOT NULL, -- '' = none
    orders INTEGER NOT NULL,
    PRIMARY KEY (state, reason)
) STRICT, WITHOUT ROWID;

INSERT INTO order_count (state, reason, orders)
SELECT state, iif(closed_at IS NULL, ifnull(reason, ''), ''), count(*) FROM orders GROUP BY 1, 2;

-- Orders in doubt, and since when, through all rounds of reading back.
CREATE TABLE doubt (
    order_number INTEGER PRIMARY KEY REFERENCES orders (number),
    since INTEGER NOT NULL
) STRICT;

CREATE INDEX doubt_by_age ON doubt (since);

INSERT INTO doubt (order_number, since)
SELECT number, changed_at FROM orders WHERE state = 'in_doubt' OR state = 'reconciling';

CREATE TRIGGER doubt_kept AFTER UPDATE OF state ON orders
WHEN (NEW.state = 'in_doubt' OR NEW.state = 'reconciling') <> (OLD.state = 'in_doubt' OR OLD.state = 'reconciling')
BEGIN
    DELETE FROM doubt WHERE order_number = NEW.number;
    INSERT INTO doubt (order_number, since) SELECT NEW.number, NEW.changed_at
    WHERE NEW.state = 'in_doubt' OR NEW.state = 'reconciling';
END;

-- What stays of an order that was removed, so that its id is never another order's.
CREATE TABLE removed_order (
    id_digest BLOB NOT NULL PRIMARY KEY, -- SHA-256 of its id, 16 octets
    body_digest BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER removed_order_is_never_changed BEFORE UPDATE ON removed_order
BEGIN
    SELECT RAISE(ABORT, 'what was removed stays known');
END;

CREATE TRIGGER removed_order_is_never_removed BEFORE DELETE ON removed_order
BEGIN
    SELECT RAISE(ABORT, 'what was removed stays known');
END;
