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
INSERT INTO "audit" VALUES(1,1795262400000000,'tests','webhook.put','erp','{"url":"https://erp.example/hook","events":[],"is_active":true,"is_new":true}');
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
INSERT INTO "data_key" VALUES(0,'a677a6939b1d8ed1',0,'digest',X'BEC02E126484ECE806BEB96DBD75699512AB049996822CE69BB7D7BAD823B3A9BC1BCF20C9FAA83B7B50938462DB3F1B2CFFC359868F026FC833277E',1795262400000000);
INSERT INTO "data_key" VALUES(1,'a677a6939b1d8ed1',0,'data',X'AA2BB38E606AC0BAD41CBE91D44D02C24B157565D810B10A5AA64B877027481EBF06E7673AD0E5B9BC5D4C0C4B5B2668CB3E820E3A9420D8240A00BD',1795262400000000);
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
INSERT INTO "meter" VALUES(1,'meter-1','tcp://meter-1:4059','{"endpoint":"tcp://meter-1:4059"}',X'0100000001C84C949031F8449FA7E758DBFADD4B88AAB29220F6EFC98863487D1888DD687FA33DDD0943EC43CA',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(2,'meter-2','tcp://meter-2:4059','{"endpoint":"tcp://meter-2:4059"}',X'0100000001D0E3312E8957B46A40CA8FB5B261A03649454752D4F08BC1273410C61AADC10BB9A036AA9A188ADB',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(3,'meter-3','tcp://meter-3:4059','{"endpoint":"tcp://meter-3:4059"}',X'0100000001E52B50815D3772EF847BB8FD036F7456F601BDF2CC5A7498199B42F41489EE2D34A260C6B91C493C',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(4,'meter-4','tcp://meter-4:4059','{"endpoint":"tcp://meter-4:4059"}',X'0100000001178355AF65C867F4E9EF4C90BEB20BD2B66CC57D2C79967A7157F6A84015F1D7926E7E2F0E61B12E',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(5,'meter-5','tcp://meter-5:4059','{"endpoint":"tcp://meter-5:4059"}',X'0100000001D6F9091774F17C0AEF3081484568097EC4906C5A2299F641B8745F674F440CD1BBB97CC512198EBC',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(6,'meter-6','tcp://meter-6:4059','{"endpoint":"tcp://meter-6:4059"}',X'0100000001BE34FA05ABC5D4DDDD1F891352D52B2014F2C7FDE1A70F462F9AE38641A2EB69A5E6996D964AE893',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(7,'meter-7','tcp://meter-7:4059','{"endpoint":"tcp://meter-7:4059"}',X'0100000001824D6DEFC3D3CACB8AC2658E88AA2E094B3DACB24AB67BFA8B49A1931C54C0B36B556618CE713878',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(8,'meter-8','tcp://meter-8:4059','{"endpoint":"tcp://meter-8:4059"}',X'01000000018ED70F8AF3D1FD21A35FB8A98813149B7330C2A229F91A7C7B22BF09BF0DE5E53A5EC94D71E1C187',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(9,'meter-9','tcp://meter-9:4059','{"endpoint":"tcp://meter-9:4059"}',X'01000000017C6D8B0D3F48D97F1A8B5A4DD6F128CEAFC6AC03597BB937D6BB27515FB96672A892A1F4C8A41FC8',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(10,'meter-10','tcp://meter-10:4059','{"endpoint":"tcp://meter-10:4059"}',X'01000000015E6C71111C86BB0B7AD802467EA83B0F341128AD97437DCF75489052CEC73C0E2C84D6B062766F38',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(11,'meter-11','tcp://meter-11:4059','{"endpoint":"tcp://meter-11:4059"}',X'010000000148577D5035CC2BAA6D2972F6B28BC17C46D649F55FC364BE9DA12F86EF834307587219CBF5C267E1',1,1795262402000000,1795262402000000,NULL,NULL);
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
INSERT INTO "orders" VALUES(1,'order-queued',1,0,'queued',NULL,0,1795262400000000,1795262400000000,NULL,1795262400000000,NULL,NULL,0,0,NULL,X'459FA5E6E99F08F5943D1B2CA5647528',NULL,NULL);
INSERT INTO "orders" VALUES(2,'order-waiting',2,0,'waiting',NULL,0,1795262400000000,1795262400000000,NULL,1797854400000000,1797854400000000,NULL,0,0,NULL,X'459FA5E6E99F08F5943D1B2CA5647528',NULL,NULL);
INSERT INTO "orders" VALUES(3,'order-sending',3,0,'sending',NULL,1,1795262400000000,1795262400000000,NULL,1795262400000000,NULL,NULL,0,0,0,X'459FA5E6E99F08F5943D1B2CA5647528',NULL,NULL);
INSERT INTO "orders" VALUES(4,'order-pending',4,0,'pending',NULL,1,1795262400000000,1795262400000000,NULL,1795266000000000,NULL,NULL,0,0,0,X'459FA5E6E99F08F5943D1B2CA5647528',NULL,NULL);
INSERT INTO "orders" VALUES(5,'order-in_doubt',5,0,'in_doubt','no-answer',1,1795262400000000,1795262400000000,NULL,1795266000000000,NULL,NULL,0,1,0,X'459FA5E6E99F08F5943D1B2CA5647528',NULL,NULL);
INSERT INTO "orders" VALUES(6,'order-reconciling',6,0,'reconciling',NULL,1,1795262400000000,1795262400000000,NULL,1795262400000000,NULL,NULL,0,1,0,X'459FA5E6E99F08F5943D1B2CA5647528',NULL,NULL);
INSERT INTO "orders" VALUES(7,'order-held',7,0,'held','config',1,1795262400000000,1795262400000000,NULL,NULL,NULL,NULL,0,0,0,X'459FA5E6E99F08F5943D1B2CA5647528',NULL,NULL);
INSERT INTO "orders" VALUES(8,'order-accepted',8,0,'accepted',NULL,1,1795262400000000,1795262400000000,1795262400000000,NULL,NULL,NULL,0,0,0,X'459FA5E6E99F08F5943D1B2CA5647528',NULL,NULL);
INSERT INTO "orders" VALUES(9,'order-rejected',9,0,'rejected','used',1,1795262400000000,1795262400000000,1795262400000000,NULL,NULL,NULL,0,0,0,X'459FA5E6E99F08F5943D1B2CA5647528',NULL,NULL);
INSERT INTO "orders" VALUES(10,'order-expired',10,0,'expired','expired',0,1795262400000000,1795262402000000,1795262402000000,NULL,NULL,1795262401000000,0,0,NULL,X'459FA5E6E99F08F5943D1B2CA5647528',NULL,NULL);
INSERT INTO "orders" VALUES(11,'order-cancelled',11,0,'cancelled',NULL,0,1795262402000000,1795262402000000,1795262402000000,NULL,NULL,NULL,0,0,NULL,X'459FA5E6E99F08F5943D1B2CA5647528',NULL,NULL);
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
INSERT INTO "token" VALUES(1,0,X'0100000001A509B3BB4CDB7AE36529B37BA9CE2D1BE50BDF03636FE36883FF6D74594392B311118DAB41','0001','credit',NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(2,0,X'010000000135EC16F117D2038715569908E11C3720DC6E16F2EFD189F2F76E2206FE394080FA6E9CF773','0002','credit',NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(3,0,X'010000000128975E517A989359BE29E3E3F5880BE60F37F13C71889C5875D35D707C5C98A2FB6E9CE840','0003','credit',NULL,NULL,1,X'0100000001650BBA1E7347B33C219D81CEEE099E1E89992BACED3A6EDA930260884E0373574AE93E689CCF826B3B8EAA11B1F5B7F0C3EC5BB6AD4D438BC708DF',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(4,0,X'0100000001EC5F02869C8A03E677862A519397DEE239AC94EF28B4BE29AC0FB1B3444A7C4126F31B14F4','0004','credit',NULL,NULL,1,X'0100000001FBF499D09AAB14DB50100D95D60BF9F5FD7D56E81C7A93FA59D7E2E81907E73064B3105146C9456FB5F2C2F66B580F7FFC999D0300586DBE418752','in_doubt','unknown',NULL,NULL,NULL,'{"elapsed_ms":0}');
INSERT INTO "token" VALUES(5,0,X'0100000001FAB8284816E91526AFCC9F0093FBE4E5F15FD1E978A1B2127815412C6FAFFBD08B8D97FD76','0005','credit',NULL,NULL,1,X'01000000013F649A7009B931A2367B3ADE1EE956B10E4CB8F304DE53A0E9601EFF179A28D392FF72739BA0E6118B880342709831645C54F0B03A9FF2F342554F','in_doubt','unknown',NULL,'no-answer',NULL,'{"elapsed_ms":0}');
INSERT INTO "token" VALUES(6,0,X'0100000001F1FCDCB7EB5BD54E0143DF310BA8945A33347C7A2936569D42E683F3C899D27D7F81FD0427','0006','credit',NULL,NULL,1,X'0100000001DF087C59F79311606C78EF669D2279451CFF626ABA635B2C8B6B46CDE3DA8AC941A9C2DD1F98A058BB7E263E7DE666E67CDF6D48068E58E6E8D82F','in_doubt','unknown',NULL,'no-answer',NULL,'{"elapsed_ms":0}');
INSERT INTO "token" VALUES(7,0,X'01000000013E0B21A037F812731770C93B3E1E4E6D26075214D5668F2CD4F1DEE9541A63A4DEF0DD34B4','0007','credit',NULL,NULL,1,X'01000000016F5AAD12D5D42B1AEA076092AAA66265A2EF6D8999DC0B2308B7A8DDF56EA9055942A03855566A8F9C1B46438E0FE7F500FA4834CE985EE4044B5D','in_doubt','unknown',NULL,'config',NULL,'{"elapsed_ms":0}');
INSERT INTO "token" VALUES(8,0,X'010000000180D801C3CF44F0243692E5B8C2634EBA1DDA2901E161A95F7D486F6CE10554771A5750B27E','0008','credit',NULL,NULL,1,X'010000000198C06A6FC539E5A88D6F55332601AE9042D3518989632689D26A29EAE80A50739622CA5D88CB2C3D547E06EDBB6282EBA1A826AB665603D49DE09A',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(9,0,X'010000000175FF70AB0A101FA84947CF86F8E2CB6A39C980C3C5D63E1FF75B4F5C877AC5C7C6019332E0','0009','credit',NULL,NULL,1,X'0100000001E8626A8062CD8221012144A84F492BB3BE068B442D80823F3717C7B81EE91D90B579A9627C42D4902A6507701CD4E6D032A3910D72E9247E9C875D',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(10,0,X'0100000001EFD812404A98DEF1976C33D9D140A5BD2797A15797284EFEE2E7A8F58DBBEC6AB367780B24','0010','credit',NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(11,0,X'0100000001F8027CB79400DD8BA573720E81F7257D5CA5D4299B340221904008696180054532DD866215','0011','credit',NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE token_seen (
    meter INTEGER NOT NULL REFERENCES meter (number),
    digest BLOB NOT NULL,
    order_id TEXT NOT NULL,
    PRIMARY KEY (meter, digest)
) STRICT, WITHOUT ROWID;
INSERT INTO "token_seen" VALUES(1,X'611E62E974A482747C66652F887447CC','order-queued');
INSERT INTO "token_seen" VALUES(2,X'0CB12CA712DD597961F9BD54EE065B29','order-waiting');
INSERT INTO "token_seen" VALUES(3,X'CBE6BED2DEC1EEAFCE8996AD872DCDB6','order-sending');
INSERT INTO "token_seen" VALUES(4,X'DCC500DF2C447D07832E6CD3C9706826','order-pending');
INSERT INTO "token_seen" VALUES(5,X'5C8A9D973537BAEB6341510420B7AD25','order-in_doubt');
INSERT INTO "token_seen" VALUES(6,X'4A690CCFF9A7FBEE0C0C721A9CAAE803','order-reconciling');
INSERT INTO "token_seen" VALUES(7,X'3E5EAFC0C0B62B484C638546F005C263','order-held');
INSERT INTO "token_seen" VALUES(8,X'37291E332AEA814D0BA1731051A358F9','order-accepted');
INSERT INTO "token_seen" VALUES(9,X'B60AA23E96F8B7E2F676B1A47B88CF21','order-rejected');
INSERT INTO "token_seen" VALUES(10,X'D08B3BF74ADBC9FBA7B131EEEEA4F7A7','order-expired');
INSERT INTO "token_seen" VALUES(11,X'6F7E412EDFD56BC46826615B521E771A','order-cancelled');
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
INSERT INTO "webhook" VALUES('erp','https://erp.example/hook',X'01000000010E602F1DE5749C8024BA3A5A8B1F620B1CEC608ECFDB04A95EAE36909434B2939C4159E4C382D1','[]',1,1795262400000000,5,0);
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
CREATE INDEX lane_ready ON lane (link, rank, due_at) WHERE owner IS NULL AND due_at IS NOT NULL;
CREATE INDEX lane_by_link ON lane (link) WHERE link IS NOT NULL;
CREATE INDEX orders_open ON orders (meter, rank, number) WHERE closed_at IS NULL;
CREATE INDEX orders_open_by_number ON orders (number) WHERE closed_at IS NULL;
CREATE INDEX orders_expiring ON orders (expires_at) WHERE closed_at IS NULL AND expires_at IS NOT NULL;
CREATE INDEX orders_closed ON orders (closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX orders_not_accepted ON orders (state, number) WHERE closed_at IS NOT NULL AND state <> 'accepted';
CREATE INDEX orders_held ON orders (number) WHERE state = 'held';
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
