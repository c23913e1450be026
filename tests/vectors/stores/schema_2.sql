PRAGMA application_id = 1398035303;
PRAGMA user_version = 2;
BEGIN TRANSACTION;
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
INSERT INTO "audit" VALUES(1,1795262400000000,'tests','webhook.put','erp','{"host":"erp.example","events":[],"is_active":true,"is_new":true}');
INSERT INTO "audit" VALUES(2,1795262400000000,'tests','meter.put','meter-1','{"link":"tcp://meter-1:4059","secrets":["ek"]}');
INSERT INTO "audit" VALUES(3,1795262400000000,'tests','meter.put','meter-2','{"link":"tcp://meter-2:4059","secrets":["ek"]}');
INSERT INTO "audit" VALUES(4,1795262400000000,'tests','meter.put','meter-3','{"link":"tcp://meter-3:4059","secrets":["ek"]}');
INSERT INTO "audit" VALUES(5,1795262400000000,'tests','meter.put','meter-4','{"link":"tcp://meter-4:4059","secrets":["ek"]}');
INSERT INTO "audit" VALUES(6,1795262400000000,'tests','meter.put','meter-5','{"link":"tcp://meter-5:4059","secrets":["ek"]}');
INSERT INTO "audit" VALUES(7,1795262400000000,'tests','meter.put','meter-6','{"link":"tcp://meter-6:4059","secrets":["ek"]}');
INSERT INTO "audit" VALUES(8,1795262400000000,'tests','meter.put','meter-7','{"link":"tcp://meter-7:4059","secrets":["ek"]}');
INSERT INTO "audit" VALUES(9,1795262400000000,'tests','meter.put','meter-8','{"link":"tcp://meter-8:4059","secrets":["ek"]}');
INSERT INTO "audit" VALUES(10,1795262400000000,'tests','meter.put','meter-9','{"link":"tcp://meter-9:4059","secrets":["ek"]}');
INSERT INTO "audit" VALUES(11,1795262400000000,'tests','meter.put','meter-10','{"link":"tcp://meter-10:4059","secrets":["ek"]}');
INSERT INTO "audit" VALUES(12,1795262402000000,'tests','meter.put','meter-11','{"link":"tcp://meter-11:4059","secrets":["ek"]}');
INSERT INTO "audit" VALUES(13,1795262402000000,'tests','order.cancel','order-cancelled','{}');
CREATE TABLE counter (
    meter TEXT NOT NULL,
    key_name TEXT NOT NULL,
    next_own INTEGER CHECK (next_own BETWEEN 0 AND 4294967296), -- the first that nobody has reserved; NULL = not known
    last_received INTEGER NOT NULL DEFAULT -1 CHECK (last_received BETWEEN -1 AND 4294967295),
    PRIMARY KEY (meter, key_name)
) STRICT, WITHOUT ROWID;
INSERT INTO "counter" VALUES('meter-1','key',1100,-1);
CREATE TABLE data_key (
    id INTEGER NOT NULL CHECK (id BETWEEN 0 AND 4294967295),
    sealed_by TEXT NOT NULL, -- the id of the key-encryption key
    round INTEGER NOT NULL,
    purpose TEXT NOT NULL CHECK (purpose = 'data' OR purpose = 'digest'),
    sealed BLOB NOT NULL,
    made_at INTEGER NOT NULL,
    PRIMARY KEY (id, sealed_by)
) STRICT, WITHOUT ROWID;
INSERT INTO "data_key" VALUES(0,'a677a6939b1d8ed1',0,'digest',X'55315E75792C38215E3B40716246AF4D74DA616500EE1C6560E52237DB88055AECB231686D1C887357AC65564315CB21AB17133434B5D43D8F28FC66',1795262400000000);
INSERT INTO "data_key" VALUES(1,'a677a6939b1d8ed1',0,'data',X'275FE4D060FE23ED6EF76E61849478281522D1498FEFD47BA326CECF88745FF53DE563B192EC1168D044F88E97CEB7CF93244AB8DCE2E260A93CBCA8',1795262400000000);
CREATE TABLE data_key_use (
    id INTEGER NOT NULL PRIMARY KEY,
    records INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO "data_key_use" VALUES(1,1048576);
CREATE TABLE doubt (
    order_number INTEGER PRIMARY KEY REFERENCES orders (number),
    since INTEGER NOT NULL
) STRICT;
INSERT INTO "doubt" VALUES(5,1795262400000000);
INSERT INTO "doubt" VALUES(6,1795262400000000);
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
INSERT INTO "meter" VALUES(1,'meter-1','tcp://meter-1:4059','{"endpoint":"tcp://meter-1:4059"}',X'0100000001FA6A8727E742E1D0BBA035D378C8D3A3F28C18AFAD1FAFBD6C48A03517DEA6956F671B441E43BB69',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(2,'meter-2','tcp://meter-2:4059','{"endpoint":"tcp://meter-2:4059"}',X'0100000001DDB6E28D21EA6288B4E3F899B83AB12318640948F2DC752B00BADBFCDC0EBCA5C81B9AA9EF375AA8',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(3,'meter-3','tcp://meter-3:4059','{"endpoint":"tcp://meter-3:4059"}',X'0100000001CDC72FBA4FB297A6B4F15A4476F1EAB91FE3A7FF37FF3BE3B3D48626D8DF5D70380B5222CE19BB67',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(4,'meter-4','tcp://meter-4:4059','{"endpoint":"tcp://meter-4:4059"}',X'01000000012C624A780B8261150448170D058771575CC012FBEDD73DD24BF2F700F7ABE1655D10205DF56A417C',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(5,'meter-5','tcp://meter-5:4059','{"endpoint":"tcp://meter-5:4059"}',X'01000000011B9C685E550D9B8660E12EA2E01F120B79FF3963C599C4630045CD46CFA3A9BDC8AFFF17057D0965',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(6,'meter-6','tcp://meter-6:4059','{"endpoint":"tcp://meter-6:4059"}',X'01000000010EB2C23DF0AA37C4B06CD377EAC27E1E551DB455611DD8E62D5F7BEC40B6A405E27E6564043300D7',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(7,'meter-7','tcp://meter-7:4059','{"endpoint":"tcp://meter-7:4059"}',X'0100000001C344E876B13BAF2A589B61B2A52399D289DAF816B9FA7051DDAFE0501E0E9689AA5734887FA4C2E4',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(8,'meter-8','tcp://meter-8:4059','{"endpoint":"tcp://meter-8:4059"}',X'0100000001E2B6FA9A46AD321CAD07BF182C4D5317903BB45FD8EC3214DB3899828F4AA2AB9466350A9DDE0DA9',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(9,'meter-9','tcp://meter-9:4059','{"endpoint":"tcp://meter-9:4059"}',X'0100000001CC8CE7B4326A68D189ED6DB25D0B053AB4DF2586E46BAE840DEF9F4A3484434D1794230DC53E33A4',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(10,'meter-10','tcp://meter-10:4059','{"endpoint":"tcp://meter-10:4059"}',X'01000000015C824F2622F20C0EC20FDDFFE9982C773D3BD31D3CE94845C718D303D4E779AB90E616BFDE0BF96E',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(11,'meter-11','tcp://meter-11:4059','{"endpoint":"tcp://meter-11:4059"}',X'01000000014F31467E413BA8F6F9A7D9CF5BB7B838F466DD3C4F3F4F0E3F12D135A093644B49403AC5AB716A0E',1,1795262402000000,1795262402000000,NULL,NULL);
CREATE TABLE order_count (
    state TEXT NOT NULL,
    reason TEXT NOT NULL, -- '' = none
    orders INTEGER NOT NULL,
    PRIMARY KEY (state, reason)
) STRICT, WITHOUT ROWID;
INSERT INTO "order_count" VALUES('accepted','',1);
INSERT INTO "order_count" VALUES('cancelled','',1);
INSERT INTO "order_count" VALUES('expired','',1);
INSERT INTO "order_count" VALUES('held','config',1);
INSERT INTO "order_count" VALUES('in_doubt','no-answer',1);
INSERT INTO "order_count" VALUES('pending','',1);
INSERT INTO "order_count" VALUES('queued','',1);
INSERT INTO "order_count" VALUES('reconciling','',1);
INSERT INTO "order_count" VALUES('rejected','',1);
INSERT INTO "order_count" VALUES('sending','',1);
INSERT INTO "order_count" VALUES('waiting','',1);
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
INSERT INTO "orders" VALUES(1,'order-queued',1,0,'queued',NULL,0,1795262400000000,1795262400000000,NULL,1795262400000000,NULL,NULL,0,0,NULL,X'A481B813BAF09C7B4E984167DC0C685F',NULL,NULL);
INSERT INTO "orders" VALUES(2,'order-waiting',2,0,'waiting',NULL,0,1795262400000000,1795262400000000,NULL,1797854400000000,1797854400000000,NULL,0,0,NULL,X'A481B813BAF09C7B4E984167DC0C685F',NULL,NULL);
INSERT INTO "orders" VALUES(3,'order-sending',3,0,'sending',NULL,1,1795262400000000,1795262400000000,NULL,1795262400000000,NULL,NULL,0,0,0,X'A481B813BAF09C7B4E984167DC0C685F',NULL,NULL);
INSERT INTO "orders" VALUES(4,'order-pending',4,0,'pending',NULL,1,1795262400000000,1795262400000000,NULL,1795266000000000,NULL,NULL,0,0,0,X'A481B813BAF09C7B4E984167DC0C685F',NULL,NULL);
INSERT INTO "orders" VALUES(5,'order-in_doubt',5,0,'in_doubt','no-answer',1,1795262400000000,1795262400000000,NULL,1795266000000000,NULL,NULL,0,1,0,X'A481B813BAF09C7B4E984167DC0C685F',NULL,NULL);
INSERT INTO "orders" VALUES(6,'order-reconciling',6,0,'reconciling',NULL,1,1795262400000000,1795262400000000,NULL,1795262400000000,NULL,NULL,0,1,0,X'A481B813BAF09C7B4E984167DC0C685F',NULL,NULL);
INSERT INTO "orders" VALUES(7,'order-held',7,0,'held','config',1,1795262400000000,1795262400000000,NULL,NULL,NULL,NULL,0,0,0,X'A481B813BAF09C7B4E984167DC0C685F',NULL,NULL);
INSERT INTO "orders" VALUES(8,'order-accepted',8,0,'accepted',NULL,1,1795262400000000,1795262400000000,1795262400000000,NULL,NULL,NULL,0,0,0,X'A481B813BAF09C7B4E984167DC0C685F',NULL,NULL);
INSERT INTO "orders" VALUES(9,'order-rejected',9,0,'rejected','used',1,1795262400000000,1795262400000000,1795262400000000,NULL,NULL,NULL,0,0,0,X'A481B813BAF09C7B4E984167DC0C685F',NULL,NULL);
INSERT INTO "orders" VALUES(10,'order-expired',10,0,'expired','expired',0,1795262400000000,1795262402000000,1795262402000000,NULL,NULL,1795262401000000,0,0,NULL,X'A481B813BAF09C7B4E984167DC0C685F',NULL,NULL);
INSERT INTO "orders" VALUES(11,'order-cancelled',11,0,'cancelled',NULL,0,1795262402000000,1795262402000000,1795262402000000,NULL,NULL,NULL,0,0,NULL,X'A481B813BAF09C7B4E984167DC0C685F',NULL,NULL);
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
CREATE TABLE removed_order (
    id_digest BLOB NOT NULL PRIMARY KEY, -- SHA-256 of its id, 16 octets
    body_digest BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE setting (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "setting" VALUES('generation','1');
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
INSERT INTO "token" VALUES(1,0,X'0100000001C0A7C48CA3CF4EEEA1F6654FEAB4EE1070B5C4A950C6412F9E72FB40C3CEB1138DC1464825','0001','credit',NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(2,0,X'010000000190A61476F517473D5212F9468EA658075C913CA381C6191E75D82B37343E22E9557B42DF60','0002','credit',NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(3,0,X'01000000016F3F980670C77453ABFFFA07E98FF496F2DA34F083431979B81139CE9BD175FC4A6E59F0F2','0003','credit',NULL,NULL,1,X'01000000013ED31BB20847C4AE51EBB43CFD2AD8820B99B8F880AAA05A4F0B8E3E6166B4BEF6C3661BD94B1653B47EF7DBDC538F55D0DE86301C9193A00E8DB7',NULL,'unknown',NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(4,0,X'010000000139D2E53A4452F731FD7964448735FC92DB25E4C9905DBCAAC9A8B4B87C7CD7BA57A811FCF5','0004','credit',NULL,NULL,1,X'010000000187C9CF58DF8ECCBD31980B82DAA9D36506C6D710673B47AD4BC58319F71D17FB13DDD0032C91DD15F399A115691D23F918BB9D5BD770EEDEF72A93','in_doubt','unknown',NULL,NULL,NULL,'{"elapsed_ms":0}');
INSERT INTO "token" VALUES(5,0,X'010000000183976AEB1E689DAA166CE25AB85CDAC3AB858C3324F0D475BD3C92509F3BE5B725927EFBE7','0005','credit',NULL,NULL,1,X'0100000001B65B50E7F5ED58D57880411E3BE4759254D02F9D2B88B92D65C9AFA036188772B927513CFF37468A73C70BAF40F7F063EA576F8C79127239C4FAD4','in_doubt','unknown',NULL,'no-answer',NULL,'{"elapsed_ms":0}');
INSERT INTO "token" VALUES(6,0,X'0100000001879D8EEB07D3AAD4D879B8F7D2484E1D3ADCD325150806AC83A96A0F209E786F23971F27CA','0006','credit',NULL,NULL,1,X'01000000017EB5E7F7D6C96B1415B4A520928D4DEFB6CA99BCF0465707FE1B21A684FD82E9E12ADF538B1D5FA333FA83474AABDEFC16974F20747EDCC63C458D','in_doubt','unknown',NULL,'no-answer',NULL,'{"elapsed_ms":0}');
INSERT INTO "token" VALUES(7,0,X'0100000001814C0C7F1CB5CC03CF9FA5EF2639AF559B14444C17DD7D55E693646AD487547A26A283BFD6','0007','credit',NULL,NULL,1,X'0100000001AA0A56CDFA44BB5E6A7531A850129267C73E967D4C99157CBA02D2354EFE328922161098FD344E4E49E89E644FAE403547AA78C97E64A277C7773F','in_doubt','unknown',NULL,'config',NULL,'{"elapsed_ms":0}');
INSERT INTO "token" VALUES(8,0,X'010000000177629563D143A02C425FA841E13FAED509BAF614E15E9576180B35A55708A72EE86AE5AFE5','0008','credit',NULL,NULL,1,X'010000000155279D53F841AE1F59849A3471AB6511151F260BADF9142B580060E11C081074CD80A679539BDB394142038B4B2DD38B93C8B8BEB7F235F8AEE2D7',NULL,'unknown',NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(9,0,X'01000000013684763096BF8AA7DD149624AF9B22B3BD130D8661E7C2167AFF6A3B391CF637FF922BB35D','0009','credit',NULL,NULL,1,X'010000000120305203E7C97F473C677AB4A8653DA540E7B82DB3993A972563A8DAD01EECCCC3F27374F4C39955E55995D3F39451DA9B0E17344C4F8EFA8BAA28',NULL,'unknown',NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(10,0,X'01000000016415F5A93D59033D487D8ECB4B8F604D42FBC9B245603575109E753898E42CFA1422DCE263','0010','credit',NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(11,0,X'0100000001FBB12E1FC4EBD9AE5FEC63F651571AB97A5F86A23CE93AB752F1C5C4767ED45EA6D06E3BB8','0011','credit',NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE token_seen (
    meter INTEGER NOT NULL REFERENCES meter (number),
    digest BLOB NOT NULL,
    order_id TEXT NOT NULL,
    PRIMARY KEY (meter, digest)
) STRICT, WITHOUT ROWID;
INSERT INTO "token_seen" VALUES(1,X'50C1EE353050F5AE5792253D63F36626','order-queued');
INSERT INTO "token_seen" VALUES(2,X'F68145F29D4444DE691F856ABBA60609','order-waiting');
INSERT INTO "token_seen" VALUES(3,X'88941E9198AA9AECD18F0102B0458027','order-sending');
INSERT INTO "token_seen" VALUES(4,X'0C1BAC31773A62178AF57A399D433B0D','order-pending');
INSERT INTO "token_seen" VALUES(5,X'E3D2681B4D3676629F4F8316CFD96F94','order-in_doubt');
INSERT INTO "token_seen" VALUES(6,X'E749990F955C2D14042A30B369195343','order-reconciling');
INSERT INTO "token_seen" VALUES(7,X'05F474D0E9380654D1812E3889670663','order-held');
INSERT INTO "token_seen" VALUES(8,X'19CAD126B15E3A3AD80AEA2E78FEC7EE','order-accepted');
INSERT INTO "token_seen" VALUES(9,X'930B1FB8BCBF5C258B5FD8031F99AA6A','order-rejected');
INSERT INTO "token_seen" VALUES(10,X'F9738F2819211F66B64F4243CA58F73B','order-expired');
INSERT INTO "token_seen" VALUES(11,X'794F858A1AA39DABFA1DE722E21B9176','order-cancelled');
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
INSERT INTO "webhook" VALUES('erp','https://erp.example/hook',X'01000000018810026546E974198731FC6A5737FA10CAE24DE98218E0EF1003D47FEB479677905BFED8DE6A2F','[]',1,1795262400000000,5,0);
CREATE TABLE webhook_delivery (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook TEXT NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    event INTEGER NOT NULL, -- its number
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    is_dead INTEGER NOT NULL DEFAULT 0 CHECK (is_dead = 0 OR is_dead = 1),
    last_error TEXT
) STRICT;
INSERT INTO "webhook_delivery" VALUES(1,'erp',16,0,1795262400000000,0,NULL);
INSERT INTO "webhook_delivery" VALUES(2,'erp',19,0,1795262400000000,0,NULL);
INSERT INTO "webhook_delivery" VALUES(3,'erp',22,0,1795262400000000,0,NULL);
INSERT INTO "webhook_delivery" VALUES(4,'erp',24,0,1795262402000000,0,NULL);
INSERT INTO "webhook_delivery" VALUES(5,'erp',26,0,1795262402000000,0,NULL);
CREATE TABLE webhook_event (
    name TEXT NOT NULL,
    webhook TEXT NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    PRIMARY KEY (name, webhook)
) STRICT, WITHOUT ROWID;
INSERT INTO "webhook_event" VALUES('order.accepted','erp');
INSERT INTO "webhook_event" VALUES('order.cancelled','erp');
INSERT INTO "webhook_event" VALUES('order.expired','erp');
INSERT INTO "webhook_event" VALUES('order.held','erp');
INSERT INTO "webhook_event" VALUES('order.rejected','erp');
CREATE INDEX meter_by_link ON meter (link, id) WHERE removed_at IS NULL;
CREATE INDEX meter_by_endpoint ON meter (json_extract(settings, '$.endpoint')) WHERE removed_at IS NULL;
CREATE INDEX meter_by_system_title ON meter (upper(json_extract(settings, '$.security.meter_system_title')))
WHERE removed_at IS NULL;
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
CREATE INDEX counter_near_end ON counter (next_own) WHERE next_own > 3221225472;
CREATE INDEX webhook_event_of_webhook ON webhook_event (webhook);
CREATE INDEX webhook_delivery_due ON webhook_delivery (webhook, is_dead, due_at, number);
CREATE INDEX webhook_delivery_of_event ON webhook_delivery (event);
CREATE INDEX doubt_by_age ON doubt (since);
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
CREATE TRIGGER counter_is_never_replaced BEFORE INSERT ON counter
WHEN EXISTS (SELECT 1 FROM counter WHERE meter = NEW.meter AND key_name = NEW.key_name)
BEGIN
    SELECT RAISE(ABORT, 'a counter is never replaced');
END;
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
CREATE TRIGGER doubt_kept AFTER UPDATE OF state ON orders
WHEN (NEW.state = 'in_doubt' OR NEW.state = 'reconciling') <> (OLD.state = 'in_doubt' OR OLD.state = 'reconciling')
BEGIN
    DELETE FROM doubt WHERE order_number = NEW.number;
    INSERT INTO doubt (order_number, since) SELECT NEW.number, NEW.changed_at
    WHERE NEW.state = 'in_doubt' OR NEW.state = 'reconciling';
END;
CREATE TRIGGER removed_order_is_never_changed BEFORE UPDATE ON removed_order
BEGIN
    SELECT RAISE(ABORT, 'what was removed stays known');
END;
CREATE TRIGGER removed_order_is_never_removed BEFORE DELETE ON removed_order
BEGIN
    SELECT RAISE(ABORT, 'what was removed stays known');
END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('audit',13);
INSERT INTO "sqlite_sequence" VALUES('orders',11);
INSERT INTO "sqlite_sequence" VALUES('event',26);
INSERT INTO "sqlite_sequence" VALUES('webhook_delivery',5);
COMMIT;
