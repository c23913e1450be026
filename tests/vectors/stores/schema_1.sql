PRAGMA application_id = 1398035303;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE event (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    order_number INTEGER NOT NULL REFERENCES orders (number),
    at INTEGER NOT NULL,
    name TEXT NOT NULL,
    position INTEGER,
    details TEXT NOT NULL
) STRICT;
INSERT INTO "event" VALUES(1,1,1795262400000000,'order.created',NULL,'{"text":"taken: \u20260001 for meter meter-1, priority credit","who":"tests"}');
INSERT INTO "event" VALUES(2,2,1795262400000000,'order.created',NULL,'{"text":"taken: \u20260002 for meter meter-2, priority credit, not before 2026-12-21 12:00:00 UTC","who":"tests"}');
INSERT INTO "event" VALUES(3,3,1795262400000000,'order.created',NULL,'{"text":"taken: \u20260003 for meter meter-3, priority credit","who":"tests"}');
INSERT INTO "event" VALUES(4,3,1795262400000000,'order.sending',0,'{"text":"sending"}');
INSERT INTO "event" VALUES(5,4,1795262400000000,'order.created',NULL,'{"text":"taken: \u20260004 for meter meter-4, priority credit","who":"tests"}');
INSERT INTO "event" VALUES(6,4,1795262400000000,'order.sending',0,'{"text":"sending"}');
INSERT INTO "event" VALUES(7,4,1795262400000000,'order.pending',NULL,'{"text":"order.pending"}');
INSERT INTO "event" VALUES(8,5,1795262400000000,'order.created',NULL,'{"text":"taken: \u20260005 for meter meter-5, priority credit","who":"tests"}');
INSERT INTO "event" VALUES(9,5,1795262400000000,'order.sending',0,'{"text":"sending"}');
INSERT INTO "event" VALUES(10,5,1795262400000000,'order.in_doubt',NULL,'{"text":"order.in_doubt"}');
INSERT INTO "event" VALUES(11,6,1795262400000000,'order.created',NULL,'{"text":"taken: \u20260006 for meter meter-6, priority credit","who":"tests"}');
INSERT INTO "event" VALUES(12,6,1795262400000000,'order.sending',0,'{"text":"sending"}');
INSERT INTO "event" VALUES(13,6,1795262400000000,'order.in_doubt',NULL,'{"text":"order.in_doubt"}');
INSERT INTO "event" VALUES(14,7,1795262400000000,'order.created',NULL,'{"text":"taken: \u20260007 for meter meter-7, priority credit","who":"tests"}');
INSERT INTO "event" VALUES(15,7,1795262400000000,'order.sending',0,'{"text":"sending"}');
INSERT INTO "event" VALUES(16,7,1795262400000000,'order.held',NULL,'{"text":"order.held"}');
INSERT INTO "event" VALUES(17,8,1795262400000000,'order.created',NULL,'{"text":"taken: \u20260008 for meter meter-8, priority credit","who":"tests"}');
INSERT INTO "event" VALUES(18,8,1795262400000000,'order.sending',0,'{"text":"sending"}');
INSERT INTO "event" VALUES(19,8,1795262400000000,'order.accepted',NULL,'{"text":"order.accepted"}');
INSERT INTO "event" VALUES(20,9,1795262400000000,'order.created',NULL,'{"text":"taken: \u20260009 for meter meter-9, priority credit","who":"tests"}');
INSERT INTO "event" VALUES(21,9,1795262400000000,'order.sending',0,'{"text":"sending"}');
INSERT INTO "event" VALUES(22,9,1795262400000000,'order.rejected',NULL,'{"text":"order.rejected"}');
INSERT INTO "event" VALUES(23,10,1795262400000000,'order.created',NULL,'{"text":"taken: \u20260010 for meter meter-10, priority credit, expires at 2026-11-21 12:00:01 UTC","who":"tests"}');
INSERT INTO "event" VALUES(24,10,1795262402000000,'order.expired',NULL,'{"text":"its time is over; nothing was sent"}');
INSERT INTO "event" VALUES(25,11,1795262402000000,'order.created',NULL,'{"text":"taken: \u20260011 for meter meter-11, priority credit","who":"tests"}');
INSERT INTO "event" VALUES(26,11,1795262402000000,'order.cancelled',NULL,'{"text":"cancelled by tests; nothing was sent","who":"tests"}');
CREATE TABLE lane (
    meter INTEGER PRIMARY KEY REFERENCES meter (number),
    link TEXT, -- NULL = nobody shares it
    rank INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER, -- NULL = no order is waiting
    backs_off_until INTEGER, -- the meter was out of reach
    owner TEXT,
    fence INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO "lane" VALUES(1,NULL,0,1795262400000000,NULL,NULL,0);
INSERT INTO "lane" VALUES(2,NULL,0,1797854400000000,NULL,NULL,0);
INSERT INTO "lane" VALUES(3,NULL,0,1795262400000000,NULL,'service',1);
INSERT INTO "lane" VALUES(4,NULL,0,1795266000000000,1795266000000000,NULL,1);
INSERT INTO "lane" VALUES(5,NULL,0,1795266000000000,1795266000000000,NULL,1);
INSERT INTO "lane" VALUES(6,NULL,0,1795266000000000,1795266000000000,'service',2);
INSERT INTO "lane" VALUES(7,NULL,0,NULL,NULL,NULL,1);
INSERT INTO "lane" VALUES(8,NULL,0,NULL,NULL,NULL,1);
INSERT INTO "lane" VALUES(9,NULL,0,NULL,NULL,NULL,1);
INSERT INTO "lane" VALUES(10,NULL,0,NULL,NULL,NULL,0);
INSERT INTO "lane" VALUES(11,NULL,0,NULL,NULL,NULL,0);
CREATE TABLE link (
    id TEXT PRIMARY KEY,
    concurrency INTEGER CHECK (concurrency > 0),
    rate_per_second REAL CHECK (rate_per_second > 0),
    burst INTEGER NOT NULL DEFAULT 1 CHECK (burst > 0),
    paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1))
) STRICT, WITHOUT ROWID;
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
INSERT INTO "meter" VALUES(1,'meter-1','tcp://meter-1:4059','{"endpoint":"tcp://meter-1:4059"}',X'0100000001CCA2F727755C42B5DFE2821591A96FB6BBF1442F21EF8A7676E639F2AC22EE56DE5F4C4F6F62F273',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(2,'meter-2','tcp://meter-2:4059','{"endpoint":"tcp://meter-2:4059"}',X'0100000001295129B5478E3FD365E100835B7E26FC715B211F45D67648A5CEEF0354DDDEAFBF57BAF955773AB5',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(3,'meter-3','tcp://meter-3:4059','{"endpoint":"tcp://meter-3:4059"}',X'010000000166B15BC4F3E7B4EB31CB9B9040B301FB51477E70D9925CE37ACF8C0345BD6468F35A43ED2A884A6B',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(4,'meter-4','tcp://meter-4:4059','{"endpoint":"tcp://meter-4:4059"}',X'01000000015C9E5F709DD0DDAF4F868C53808FC98858B256FD99F64396AA64A0B83826D057A609FBE0C4BB0D11',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(5,'meter-5','tcp://meter-5:4059','{"endpoint":"tcp://meter-5:4059"}',X'0100000001271179A57F412436E3750572E63B3A4F4E4135997D2B349739D57ACF8CD19CD7CA04ECEB8979F765',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(6,'meter-6','tcp://meter-6:4059','{"endpoint":"tcp://meter-6:4059"}',X'01000000011E950AE7F84D40BAEC9814D905C8CACA97A2207905F0248FB416AA82B93645ACE1D5BEE4C5A04A0C',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(7,'meter-7','tcp://meter-7:4059','{"endpoint":"tcp://meter-7:4059"}',X'0100000001913D899EA83A4EE2D1522AECE5AD71F4BC1CEC7A7D8929162059F58141DFA8D13FE48E06CA018D73',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(8,'meter-8','tcp://meter-8:4059','{"endpoint":"tcp://meter-8:4059"}',X'010000000194CAE80DC882252770077C73C3869C2E169D611EEE61EF4716B9B8EAE2DB3CA14B0E0F2DB7CDB388',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(9,'meter-9','tcp://meter-9:4059','{"endpoint":"tcp://meter-9:4059"}',X'010000000194DED149F3A3679DD7E3235A8E04E77AE158F7D0BBC00394E96CA03427FD92EDC87FA3A106F191DE',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(10,'meter-10','tcp://meter-10:4059','{"endpoint":"tcp://meter-10:4059"}',X'0100000001253DF4AE393D65BFE07B56B9368D38BA11380E1FB727F38B5936091AE1285F5F0314AB2D49AB10ED',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(11,'meter-11','tcp://meter-11:4059','{"endpoint":"tcp://meter-11:4059"}',X'010000000147A83A001400C768A986A36692166EFDE03929D79F891B045F5448AE9306F6DA625A6DEEA3D997A8',1,1795262402000000,1795262402000000,NULL,NULL);
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
INSERT INTO "orders" VALUES(1,'order-queued',1,0,'queued',NULL,0,1795262400000000,1795262400000000,NULL,1795262400000000,NULL,NULL,0,0,NULL,X'239425C4E7C9F8FB00EDCC6C9BD824A5',NULL,NULL);
INSERT INTO "orders" VALUES(2,'order-waiting',2,0,'waiting',NULL,0,1795262400000000,1795262400000000,NULL,1797854400000000,1797854400000000,NULL,0,0,NULL,X'239425C4E7C9F8FB00EDCC6C9BD824A5',NULL,NULL);
INSERT INTO "orders" VALUES(3,'order-sending',3,0,'sending',NULL,1,1795262400000000,1795262400000000,NULL,1795262400000000,NULL,NULL,0,0,0,X'239425C4E7C9F8FB00EDCC6C9BD824A5',NULL,NULL);
INSERT INTO "orders" VALUES(4,'order-pending',4,0,'pending',NULL,1,1795262400000000,1795262400000000,NULL,1795266000000000,NULL,NULL,0,0,0,X'239425C4E7C9F8FB00EDCC6C9BD824A5',NULL,NULL);
INSERT INTO "orders" VALUES(5,'order-in_doubt',5,0,'in_doubt','no-answer',1,1795262400000000,1795262400000000,NULL,1795266000000000,NULL,NULL,0,1,0,X'239425C4E7C9F8FB00EDCC6C9BD824A5',NULL,NULL);
INSERT INTO "orders" VALUES(6,'order-reconciling',6,0,'reconciling',NULL,1,1795262400000000,1795262400000000,NULL,1795262400000000,NULL,NULL,0,1,0,X'239425C4E7C9F8FB00EDCC6C9BD824A5',NULL,NULL);
INSERT INTO "orders" VALUES(7,'order-held',7,0,'held','config',1,1795262400000000,1795262400000000,NULL,NULL,NULL,NULL,0,0,0,X'239425C4E7C9F8FB00EDCC6C9BD824A5',NULL,NULL);
INSERT INTO "orders" VALUES(8,'order-accepted',8,0,'accepted',NULL,1,1795262400000000,1795262400000000,1795262400000000,NULL,NULL,NULL,0,0,0,X'239425C4E7C9F8FB00EDCC6C9BD824A5',NULL,NULL);
INSERT INTO "orders" VALUES(9,'order-rejected',9,0,'rejected','used',1,1795262400000000,1795262400000000,1795262400000000,NULL,NULL,NULL,0,0,0,X'239425C4E7C9F8FB00EDCC6C9BD824A5',NULL,NULL);
INSERT INTO "orders" VALUES(10,'order-expired',10,0,'expired','expired',0,1795262400000000,1795262402000000,1795262402000000,NULL,NULL,1795262401000000,0,0,NULL,X'239425C4E7C9F8FB00EDCC6C9BD824A5',NULL,NULL);
INSERT INTO "orders" VALUES(11,'order-cancelled',11,0,'cancelled',NULL,0,1795262402000000,1795262402000000,1795262402000000,NULL,NULL,NULL,0,0,NULL,X'239425C4E7C9F8FB00EDCC6C9BD824A5',NULL,NULL);
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
INSERT INTO "outcome" VALUES(8,0,1795262400000000,'accepted','yes',NULL,NULL,NULL,'{"elapsed_ms":0}');
INSERT INTO "outcome" VALUES(9,0,1795262400000000,'rejected','no',NULL,'used',NULL,'{"elapsed_ms":0}');
INSERT INTO "outcome" VALUES(10,0,1795262402000000,'unreached','no',NULL,'expired',NULL,'{}');
INSERT INTO "outcome" VALUES(11,0,1795262402000000,'unreached','no',NULL,'cancelled',NULL,'{}');
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
INSERT INTO "token" VALUES(1,0,X'01000000010CB9793CE5D4B12511D5FD8E3FC6A219AED68686903D10C9842B43E022B073D710B8424C8B','0001','credit',NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(2,0,X'010000000161247CF2F8731C06E179F5E2C19B16E4FA2DEEF283D48F28B0E63E61F795B6B16A8E703839','0002','credit',NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(3,0,X'0100000001899EDB513BCFD6F8122CBDC630CA3FAC95773B9A10CC92EEDDE6D985FE771B0948BF8950FE','0003','credit',NULL,NULL,1,X'01000000011E954563EAC0862397A8D82950CC2B7F0821E51E65C2ACB47348608E2AA6E236D1562BBC5EADBB2CBD2CBE269251B0F1C3FCF24CB67B5955A3726E',NULL,'unknown',NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(4,0,X'0100000001BB1B4289F210E304E5FCBD6EC08220B189552553E7352033E73C0ADB4371362B9663E4FF75','0004','credit',NULL,NULL,1,X'0100000001B978D544767B657774D69DD27CBB2513A7E9389CF80E34E64BAC2AF7E770E8D5E8D5E4E40BC5BD42C9A44F2963A99B15B8C98B9EF23DCE4ACA7B9F','in_doubt','unknown',NULL,NULL,NULL,'{"elapsed_ms":0}');
INSERT INTO "token" VALUES(5,0,X'0100000001CCCD9BC1F8399855EE2639AEF35823366F70ECBD682302B24F632806133F0063393B36D343','0005','credit',NULL,NULL,1,X'010000000169ADB058BC4B14D9990819451EDB0E9B363BDD7145F0BA3B5F269DCE41EDC97E260C5D386A46926D0D9D94E96DE62803C22F083786E72470A4001E','in_doubt','unknown',NULL,'no-answer',NULL,'{"elapsed_ms":0}');
INSERT INTO "token" VALUES(6,0,X'01000000013CDFBCE8CFE9F385C6699AE9EA6F55F4CA8633FD67DE51BD745CF9131AF60288AF5440F6E7','0006','credit',NULL,NULL,1,X'0100000001EA64213B605F53DE1C06DAC4237D4463928CDF56559F6D5154DF7A966F025E67FA9F887AA0A33720D914C205604BEAC1D62DCA9414544CAFEF8010','in_doubt','unknown',NULL,'no-answer',NULL,'{"elapsed_ms":0}');
INSERT INTO "token" VALUES(7,0,X'010000000135FD1ACE709BECD65A2A77AED734940671FB603E110CF48B03F2AABB044E2AB17F33A5D33F','0007','credit',NULL,NULL,1,X'010000000110DADC9F6D43E9C5239B3F05696CBBD9B83D43853604AA89F79126679B1449E70B3138A9E19BB4E066BD39C25F53245C311E3CE3BB3DB5255B2359','in_doubt','unknown',NULL,'config',NULL,'{"elapsed_ms":0}');
INSERT INTO "token" VALUES(8,0,X'010000000156E80CA3F944B30A5911C438000CA03A8363B328523C90038FD6F3FDF667D51381CD422A20','0008','credit',NULL,NULL,1,X'01000000011E6FE1A7E922E885366B17E05D97461AC4D11BEE0EBFF325A19CC1C8AA0CBFAD7C13D21DE9A1F0D809406418EBD6DD56D1E2DE5858298B1E396F6E',NULL,'unknown',NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(9,0,X'0100000001249B89FE6CA18921E13657328553D6C192E47515C79F43AA04E3442E3EFDB0C581DC336E3B','0009','credit',NULL,NULL,1,X'0100000001BCE8FD0843DCE3856C7B2CCF3537A44204BAAEA657763077F3C8415F39559796136E91D60DCFF5574EADE09204A6A1BB1008E71C5F5484A835C8FF',NULL,'unknown',NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(10,0,X'01000000011358CEE5168D1EF281ACE765A9CD54564DC022F8202A3C6AF90553400E798D8102C730A68A','0010','credit',NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(11,0,X'0100000001FDC4151252B99817CD9E28033B05055D457953F76AF9F63C78B095FA33C677D20CB491B2F6','0011','credit',NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE token_seen (
    meter INTEGER NOT NULL REFERENCES meter (number),
    digest BLOB NOT NULL,
    order_id TEXT NOT NULL,
    PRIMARY KEY (meter, digest)
) STRICT, WITHOUT ROWID;
INSERT INTO "token_seen" VALUES(1,X'536E81E3C6845AF295AF9D5DD9F80764','order-queued');
INSERT INTO "token_seen" VALUES(2,X'FE403B1BA57E50774C30DE5BE0A336EA','order-waiting');
INSERT INTO "token_seen" VALUES(3,X'4224E6333CF91A0ACA3CC4236F3336EF','order-sending');
INSERT INTO "token_seen" VALUES(4,X'87096A225E0602E18125C266DA2728C0','order-pending');
INSERT INTO "token_seen" VALUES(5,X'6C9B719D597E7430E1D3CFADFFD22AFE','order-in_doubt');
INSERT INTO "token_seen" VALUES(6,X'13FD89E45055856C3FB6D534C26E599F','order-reconciling');
INSERT INTO "token_seen" VALUES(7,X'51C08A06AA43C92ED74A9DAA1DA1ED83','order-held');
INSERT INTO "token_seen" VALUES(8,X'7B9AA750A7E93DB64E47875A04E0FA23','order-accepted');
INSERT INTO "token_seen" VALUES(9,X'C363BF5186DCCC41DC279B7E2111E0EE','order-rejected');
INSERT INTO "token_seen" VALUES(10,X'E5BABB0784314B3AC808922E215EFC71','order-expired');
INSERT INTO "token_seen" VALUES(11,X'FD47FA793427234BDC81C3CD181D4424','order-cancelled');
CREATE TABLE transition (
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    change TEXT NOT NULL,
    PRIMARY KEY (before, after, change)
) STRICT, WITHOUT ROWID;
INSERT INTO "transition" VALUES('held','accepted','accept');
INSERT INTO "transition" VALUES('held','cancelled','cancel');
INSERT INTO "transition" VALUES('held','in_doubt','read_again');
INSERT INTO "transition" VALUES('held','queued','continue');
INSERT INTO "transition" VALUES('held','queued','retry');
INSERT INTO "transition" VALUES('held','rejected','reject');
INSERT INTO "transition" VALUES('in_doubt','held','hold');
INSERT INTO "transition" VALUES('in_doubt','in_doubt','doubt');
INSERT INTO "transition" VALUES('in_doubt','in_doubt','read_again');
INSERT INTO "transition" VALUES('in_doubt','in_doubt','restore');
INSERT INTO "transition" VALUES('in_doubt','reconciling','reconcile');
INSERT INTO "transition" VALUES('pending','accepted','accept');
INSERT INTO "transition" VALUES('pending','held','hold');
INSERT INTO "transition" VALUES('pending','in_doubt','doubt');
INSERT INTO "transition" VALUES('pending','in_doubt','restore');
INSERT INTO "transition" VALUES('pending','pending','pend');
INSERT INTO "transition" VALUES('pending','queued','continue');
INSERT INTO "transition" VALUES('pending','reconciling','reconcile');
INSERT INTO "transition" VALUES('pending','rejected','reject');
INSERT INTO "transition" VALUES('pending','sending','send');
INSERT INTO "transition" VALUES('queued','cancelled','cancel');
INSERT INTO "transition" VALUES('queued','expired','expire');
INSERT INTO "transition" VALUES('queued','held','hold');
INSERT INTO "transition" VALUES('queued','in_doubt','restore');
INSERT INTO "transition" VALUES('queued','queued','continue');
INSERT INTO "transition" VALUES('queued','rejected','reject');
INSERT INTO "transition" VALUES('queued','sending','send');
INSERT INTO "transition" VALUES('queued','waiting','postpone');
INSERT INTO "transition" VALUES('reconciling','accepted','accept');
INSERT INTO "transition" VALUES('reconciling','held','hold');
INSERT INTO "transition" VALUES('reconciling','in_doubt','doubt');
INSERT INTO "transition" VALUES('reconciling','in_doubt','restore');
INSERT INTO "transition" VALUES('reconciling','pending','pend');
INSERT INTO "transition" VALUES('reconciling','queued','continue');
INSERT INTO "transition" VALUES('reconciling','reconciling','reconcile');
INSERT INTO "transition" VALUES('reconciling','rejected','reject');
INSERT INTO "transition" VALUES('reconciling','sending','send');
INSERT INTO "transition" VALUES('sending','accepted','accept');
INSERT INTO "transition" VALUES('sending','held','hold');
INSERT INTO "transition" VALUES('sending','in_doubt','doubt');
INSERT INTO "transition" VALUES('sending','in_doubt','restore');
INSERT INTO "transition" VALUES('sending','pending','pend');
INSERT INTO "transition" VALUES('sending','queued','continue');
INSERT INTO "transition" VALUES('sending','reconciling','reconcile');
INSERT INTO "transition" VALUES('sending','rejected','reject');
INSERT INTO "transition" VALUES('sending','sending','send');
INSERT INTO "transition" VALUES('sending','waiting','take_back');
INSERT INTO "transition" VALUES('waiting','cancelled','cancel');
INSERT INTO "transition" VALUES('waiting','expired','expire');
INSERT INTO "transition" VALUES('waiting','held','hold');
INSERT INTO "transition" VALUES('waiting','in_doubt','restore');
INSERT INTO "transition" VALUES('waiting','queued','continue');
INSERT INTO "transition" VALUES('waiting','rejected','reject');
INSERT INTO "transition" VALUES('waiting','sending','send');
INSERT INTO "transition" VALUES('waiting','waiting','postpone');
CREATE INDEX meter_by_link ON meter (link, id) WHERE removed_at IS NULL;
CREATE INDEX lane_ready ON lane (link, rank, due_at) WHERE owner IS NULL AND due_at IS NOT NULL;
CREATE INDEX lane_by_link ON lane (link) WHERE link IS NOT NULL;
CREATE INDEX orders_open ON orders (meter, rank, number) WHERE closed_at IS NULL;
CREATE INDEX orders_open_by_number ON orders (number) WHERE closed_at IS NULL;
CREATE INDEX orders_expiring ON orders (expires_at) WHERE closed_at IS NULL AND expires_at IS NOT NULL;
CREATE INDEX orders_closed ON orders (closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX orders_not_accepted ON orders (state, number) WHERE closed_at IS NOT NULL AND state <> 'accepted';
CREATE INDEX orders_held ON orders (number) WHERE state = 'held';
CREATE INDEX orders_held_by_meter ON orders (meter) WHERE state = 'held';
CREATE INDEX orders_by_meter ON orders (meter, number);
CREATE UNIQUE INDEX orders_under_way ON orders (meter)
WHERE state = 'sending' OR state = 'pending' OR state = 'reconciling';
CREATE INDEX orders_begun ON orders (meter)
WHERE state = 'in_doubt' OR maybe_delivered AND (state = 'queued' OR state = 'waiting');
CREATE INDEX event_by_order ON event (order_number, number);
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
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('audit',13);
INSERT INTO "sqlite_sequence" VALUES('orders',11);
INSERT INTO "sqlite_sequence" VALUES('event',26);
INSERT INTO "sqlite_sequence" VALUES('webhook_delivery',5);
COMMIT;
