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
INSERT INTO "data_key" VALUES(0,'a677a6939b1d8ed1',0,'digest',X'702A1BA948AC8622FE175FD2FEE4107A9859DE4D5CC413715844CA63D280EC2BBA60C5FA76D445EA5501EDE4BB95169F1278F26746856123FA2E1E35',1795262400000000);
INSERT INTO "data_key" VALUES(1,'a677a6939b1d8ed1',0,'data',X'4616F90EEC6634A9FE0332DE6E88541715D9965502142247842DF576AA5EECE8D37C9FDD84698914ECDB2CCF4F85E8DB0511393D544CD82085CD7561',1795262400000000);
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
INSERT INTO "event" VALUES(1,1,1795262400000000,'order.created',NULL,'{"text":"taken: \u20260001 for meter meter-1, priority credit"}');
INSERT INTO "event" VALUES(2,2,1795262400000000,'order.created',NULL,'{"text":"taken: \u20260002 for meter meter-2, priority credit, not before 2026-12-21 12:00:00 UTC"}');
INSERT INTO "event" VALUES(3,3,1795262400000000,'order.created',NULL,'{"text":"taken: \u20260003 for meter meter-3, priority credit"}');
INSERT INTO "event" VALUES(4,3,1795262400000000,'order.sending',0,'{"text":"sending"}');
INSERT INTO "event" VALUES(5,4,1795262400000000,'order.created',NULL,'{"text":"taken: \u20260004 for meter meter-4, priority credit"}');
INSERT INTO "event" VALUES(6,4,1795262400000000,'order.sending',0,'{"text":"sending"}');
INSERT INTO "event" VALUES(7,4,1795262400000000,'order.pending',NULL,'{"text":"order.pending"}');
INSERT INTO "event" VALUES(8,5,1795262400000000,'order.created',NULL,'{"text":"taken: \u20260005 for meter meter-5, priority credit"}');
INSERT INTO "event" VALUES(9,5,1795262400000000,'order.sending',0,'{"text":"sending"}');
INSERT INTO "event" VALUES(10,5,1795262400000000,'order.in_doubt',NULL,'{"text":"order.in_doubt"}');
INSERT INTO "event" VALUES(11,6,1795262400000000,'order.created',NULL,'{"text":"taken: \u20260006 for meter meter-6, priority credit"}');
INSERT INTO "event" VALUES(12,6,1795262400000000,'order.sending',0,'{"text":"sending"}');
INSERT INTO "event" VALUES(13,6,1795262400000000,'order.in_doubt',NULL,'{"text":"order.in_doubt"}');
INSERT INTO "event" VALUES(14,7,1795262400000000,'order.created',NULL,'{"text":"taken: \u20260007 for meter meter-7, priority credit"}');
INSERT INTO "event" VALUES(15,7,1795262400000000,'order.sending',0,'{"text":"sending"}');
INSERT INTO "event" VALUES(16,7,1795262400000000,'order.held',NULL,'{"text":"order.held"}');
INSERT INTO "event" VALUES(17,8,1795262400000000,'order.created',NULL,'{"text":"taken: \u20260008 for meter meter-8, priority credit"}');
INSERT INTO "event" VALUES(18,8,1795262400000000,'order.sending',0,'{"text":"sending"}');
INSERT INTO "event" VALUES(19,8,1795262400000000,'order.accepted',NULL,'{"text":"order.accepted"}');
INSERT INTO "event" VALUES(20,9,1795262400000000,'order.created',NULL,'{"text":"taken: \u20260009 for meter meter-9, priority credit"}');
INSERT INTO "event" VALUES(21,9,1795262400000000,'order.sending',0,'{"text":"sending"}');
INSERT INTO "event" VALUES(22,9,1795262400000000,'order.rejected',NULL,'{"text":"order.rejected"}');
INSERT INTO "event" VALUES(23,10,1795262400000000,'order.created',NULL,'{"text":"taken: \u20260010 for meter meter-10, priority credit, expires at 2026-11-21 12:00:01 UTC"}');
INSERT INTO "event" VALUES(24,10,1795262402000000,'order.expired',NULL,'{"text":"its time is over; nothing was sent"}');
INSERT INTO "event" VALUES(25,11,1795262402000000,'order.created',NULL,'{"text":"taken: \u20260011 for meter meter-11, priority credit"}');
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
INSERT INTO "meter" VALUES(1,'meter-1','tcp://meter-1:4059','{"endpoint":"tcp://meter-1:4059"}',X'0100000001C059AE39C7950514A4A320ED64FC2B640EDDB080BBB41199DC96653B14782E4FE6BBA2F53FEABAD1',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(2,'meter-2','tcp://meter-2:4059','{"endpoint":"tcp://meter-2:4059"}',X'0100000001309AAAAB0C4ED53045CA5DAE7CD08909B1440B7A8390A1E5499E1E8E841FFAB3890BF82B99D1B3F8',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(3,'meter-3','tcp://meter-3:4059','{"endpoint":"tcp://meter-3:4059"}',X'0100000001CEB1BD1E2D4533C2028065030367A704A084CAB48A75E51ADD8BFB97AF5A051EFFA05FB97A377B8C',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(4,'meter-4','tcp://meter-4:4059','{"endpoint":"tcp://meter-4:4059"}',X'01000000018E5A55355A80D32639D6A11B0764D9F5E31D46768EB477CD391F96EAE492380DD2D6E7A173775E2F',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(5,'meter-5','tcp://meter-5:4059','{"endpoint":"tcp://meter-5:4059"}',X'0100000001DC9C5C6FAC48A61B962C20F0976121D88C54117D553BD6FCCC1D6EC8DD298AF8C567FDE2A6D425F8',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(6,'meter-6','tcp://meter-6:4059','{"endpoint":"tcp://meter-6:4059"}',X'010000000140176966D594C40E04C4409F22AE17F65ABF7A99427C776AF61BC952A7BA24A1D55E0543CF1B874D',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(7,'meter-7','tcp://meter-7:4059','{"endpoint":"tcp://meter-7:4059"}',X'0100000001DFD8B6E4966382153C05542672AE8E1C420EF266B3B24C70C3921D7F4E739C8B26833F1D34EAE3D4',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(8,'meter-8','tcp://meter-8:4059','{"endpoint":"tcp://meter-8:4059"}',X'010000000104D594C0516B7EC3A73589E16B969B0BB77A3C66BA14404D55011C4B831EB6FF3D4A99A7B4BBF969',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(9,'meter-9','tcp://meter-9:4059','{"endpoint":"tcp://meter-9:4059"}',X'0100000001A867DEF26ECD930740564BD21696AC5ED424AE5525E44B857D94FC6E6E0C227DFA923EC917FF8F44',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(10,'meter-10','tcp://meter-10:4059','{"endpoint":"tcp://meter-10:4059"}',X'010000000161C1868E36E0F185D65BA79D240DDAE03E57FF6BDE8DE85648219CFCE940C5B7CAF72CC89641FE14',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(11,'meter-11','tcp://meter-11:4059','{"endpoint":"tcp://meter-11:4059"}',X'0100000001E009AB3CC90F65B9EC694703E249A6DD6AD3616868A01974B7F45CD75C347C9D25D4D6F1807D2BB9',1,1795262402000000,1795262402000000,NULL,NULL);
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
INSERT INTO "orders" VALUES(1,'order-queued',1,0,'queued',NULL,0,1795262400000000,1795262400000000,NULL,1795262400000000,NULL,NULL,0,0,NULL,X'B580031BA91B70155F32FC3F239BAE1F',NULL,NULL);
INSERT INTO "orders" VALUES(2,'order-waiting',2,0,'waiting',NULL,0,1795262400000000,1795262400000000,NULL,1797854400000000,1797854400000000,NULL,0,0,NULL,X'B580031BA91B70155F32FC3F239BAE1F',NULL,NULL);
INSERT INTO "orders" VALUES(3,'order-sending',3,0,'sending',NULL,1,1795262400000000,1795262400000000,NULL,1795262400000000,NULL,NULL,0,0,0,X'B580031BA91B70155F32FC3F239BAE1F',NULL,NULL);
INSERT INTO "orders" VALUES(4,'order-pending',4,0,'pending',NULL,1,1795262400000000,1795262400000000,NULL,1795266000000000,NULL,NULL,0,0,0,X'B580031BA91B70155F32FC3F239BAE1F',NULL,NULL);
INSERT INTO "orders" VALUES(5,'order-in_doubt',5,0,'in_doubt','no-answer',1,1795262400000000,1795262400000000,NULL,1795266000000000,NULL,NULL,0,1,0,X'B580031BA91B70155F32FC3F239BAE1F',NULL,NULL);
INSERT INTO "orders" VALUES(6,'order-reconciling',6,0,'reconciling',NULL,1,1795262400000000,1795262400000000,NULL,1795262400000000,NULL,NULL,0,1,0,X'B580031BA91B70155F32FC3F239BAE1F',NULL,NULL);
INSERT INTO "orders" VALUES(7,'order-held',7,0,'held','config',1,1795262400000000,1795262400000000,NULL,NULL,NULL,NULL,0,0,0,X'B580031BA91B70155F32FC3F239BAE1F',NULL,NULL);
INSERT INTO "orders" VALUES(8,'order-accepted',8,0,'accepted',NULL,1,1795262400000000,1795262400000000,1795262400000000,NULL,NULL,NULL,0,0,0,X'B580031BA91B70155F32FC3F239BAE1F',NULL,NULL);
INSERT INTO "orders" VALUES(9,'order-rejected',9,0,'rejected','used',1,1795262400000000,1795262400000000,1795262400000000,NULL,NULL,NULL,0,0,0,X'B580031BA91B70155F32FC3F239BAE1F',NULL,NULL);
INSERT INTO "orders" VALUES(10,'order-expired',10,0,'expired','expired',0,1795262400000000,1795262402000000,1795262402000000,NULL,NULL,1795262401000000,0,0,NULL,X'B580031BA91B70155F32FC3F239BAE1F',NULL,NULL);
INSERT INTO "orders" VALUES(11,'order-cancelled',11,0,'cancelled',NULL,0,1795262402000000,1795262402000000,1795262402000000,NULL,NULL,NULL,0,0,NULL,X'B580031BA91B70155F32FC3F239BAE1F',NULL,NULL);
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
INSERT INTO "token" VALUES(1,0,X'010000000178693D64AC312CA4DA04AE1C0F314C36E1A4B15C2F6A826E44C9F489BD330EECE8CF4B2CCA','0001','credit',NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(2,0,X'0100000001D877D8D405D30870DBC7B80675DB996BF2171C1353B337B0ABFBB11BE4F5C77F81D0A776BA','0002','credit',NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(3,0,X'0100000001D2585171CDC6C296350D24B57D3742B93308825A23C7728415A42B6EE3DDEDDB26D1366ACC','0003','credit',NULL,NULL,1,X'01000000013A9D1DF2A79A5B12B0F47710DCC6A4A8CC1534ED4136A6E71C2F3F746BE76C3D070C0777B73BDB5333BBD0C200334B834326F38C74A20D6175972C',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(4,0,X'01000000017AEEA6162612435C74A66C92C5256C2E57C7BF7AC4546B9ACE72B2770ABD54433A3375BBD8','0004','credit',NULL,NULL,1,X'010000000115C16E8C1571FD3351EB27D043A6B54121D585A4C1DB3A69CCC383B228B391F0A729303ACE2F1AA27B9F13D9CF1889A1A15CE0608EEED525F7A4C2','in_doubt','unknown',NULL,NULL,NULL,'{"elapsed_ms":0}');
INSERT INTO "token" VALUES(5,0,X'0100000001C078FFF27FC92E63032052B3D35BC400F34C2FB81D8261087A3FD3DB412BA024474808862B','0005','credit',NULL,NULL,1,X'01000000019CD9206813B3A58532CAB6AAF4A48016AB2427CC895067BF900D7D8D9E58A38115F355C1D76A0EC76B74EF6807A7BDF94C2347DA14C6766310429E','in_doubt','unknown',NULL,'no-answer',NULL,'{"elapsed_ms":0}');
INSERT INTO "token" VALUES(6,0,X'01000000013D2FA6FC9B74E8F8E3BA408CBD686CBC54A29C7A254239A1B8F87D702B28CF70AC6DB097BF','0006','credit',NULL,NULL,1,X'01000000016CDEB616CD6A9B3809ADF5BD4003DFE8CC74313454CF9B4563AC3E622577314A80B2EA9E0930DDB06B1FA103E97178FBEF3E766A23BF45BD02FA6E','in_doubt','unknown',NULL,'no-answer',NULL,'{"elapsed_ms":0}');
INSERT INTO "token" VALUES(7,0,X'01000000012C4BD08D208504264B34C0E8B2DBDDA6FA2A7546149D0C8292B29A3F9E8B722C98F28D9CFB','0007','credit',NULL,NULL,1,X'0100000001B0FA365E7FC78F4013EF0EC396627316A80380D734AD2DB0C1A2E431D94468775AED27B881854D6F5BA4A3FD191365B5DFF1CB074F2EE3ED6CD777','in_doubt','unknown',NULL,'config',NULL,'{"elapsed_ms":0}');
INSERT INTO "token" VALUES(8,0,X'010000000119E776633853F1479492A05500CA34028ECBECBC46F154F424EDBD895F15EAB890B55030E9','0008','credit',NULL,NULL,1,X'0100000001282EAC35D8ADE8C99D930F1707BF7470A6F324D8C893303F0ECC5FB9C50CD160F4FBD2EE159CC73BC7F066581FF8AB6E27A264092FD2BFD0AF2BA7',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(9,0,X'010000000100D8406B56BFD1957ED5B4587BA6110AB437FFFDF626ECDC9E2EB140E85FD6DA2159CD6F1B','0009','credit',NULL,NULL,1,X'0100000001F896847476E02E1E50BBBF02BDEDA610550145C1A5E3D0EB56F5F1C3127D03CD45688EF4910284618A9A6D19FF3C50E7EA2B346E89EBE5A58099BB',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(10,0,X'0100000001545D3DCDEEC4C44BB90B94112CCB94C6C75559B9522AF828127E855BA5CC6D7E3DA54FEFC7','0010','credit',NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(11,0,X'010000000128FB47CEBAF4625DFFB6E386C0A1672416FC8D94B695998171B96265652EFA9A8BCDF89B5E','0011','credit',NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE token_seen (
    meter INTEGER NOT NULL REFERENCES meter (number),
    digest BLOB NOT NULL,
    order_id TEXT NOT NULL,
    PRIMARY KEY (meter, digest)
) STRICT, WITHOUT ROWID;
INSERT INTO "token_seen" VALUES(1,X'F1EFC41E0769E4093B8C45EA5D97ECC2','order-queued');
INSERT INTO "token_seen" VALUES(2,X'97237EF67BF6D136A2524D83C6518D98','order-waiting');
INSERT INTO "token_seen" VALUES(3,X'67BC84EC05215DDA5350A84C9C1F6E34','order-sending');
INSERT INTO "token_seen" VALUES(4,X'6183D4A280A6A1FF0399C43F75E4DFCB','order-pending');
INSERT INTO "token_seen" VALUES(5,X'69E1071E19DFB0E635885231FBF37B0D','order-in_doubt');
INSERT INTO "token_seen" VALUES(6,X'E68491D950924FBD893BA8E3D865F0C6','order-reconciling');
INSERT INTO "token_seen" VALUES(7,X'D7500DA1C8991BE893846B94DAA8D3C5','order-held');
INSERT INTO "token_seen" VALUES(8,X'D69D60845A70219D05F29DC4AA18B533','order-accepted');
INSERT INTO "token_seen" VALUES(9,X'503149718CB90DA3613E17325302EEBB','order-rejected');
INSERT INTO "token_seen" VALUES(10,X'E7664877882825DF61C3C7F2EFF70B24','order-expired');
INSERT INTO "token_seen" VALUES(11,X'158F69E97A8B5BF794460DDCD58345EC','order-cancelled');
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
INSERT INTO "webhook" VALUES('erp','https://erp.example/hook',X'0100000001BD3B4C052E5F735D672167A63848A95F42AC50D728109EAF0CF2C427381F4334D2872662680D8C','[]',1,1795262400000000,5,0);
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
CREATE TRIGGER order_count_added AFTER INSERT ON orders
BEGIN
    INSERT INTO order_count (state, reason, orders) VALUES (NEW.state, ifnull(NEW.reason, ''), 1)
    ON CONFLICT (state, reason) DO UPDATE SET orders = orders + 1;
END;
CREATE TRIGGER order_count_moved AFTER UPDATE OF state, reason ON orders
WHEN NEW.state <> OLD.state OR NEW.reason IS NOT OLD.reason
BEGIN
    UPDATE order_count SET orders = orders - 1 WHERE state = OLD.state AND reason = ifnull(OLD.reason, '');
    INSERT INTO order_count (state, reason, orders)
    VALUES (NEW.state, iif(NEW.closed_at IS NULL, ifnull(NEW.reason, ''), ''), 1)
    ON CONFLICT (state, reason) DO UPDATE SET orders = orders + 1;
END;
CREATE TRIGGER doubt_arisen AFTER UPDATE OF state ON orders
WHEN (NEW.state = 'in_doubt' OR NEW.state = 'reconciling') AND OLD.state <> 'in_doubt' AND OLD.state <> 'reconciling'
BEGIN
    INSERT INTO doubt (order_number, since) VALUES (NEW.number, NEW.changed_at);
END;
CREATE TRIGGER doubt_settled AFTER UPDATE OF state ON orders
WHEN (OLD.state = 'in_doubt' OR OLD.state = 'reconciling') AND NEW.state <> 'in_doubt' AND NEW.state <> 'reconciling'
BEGIN
    DELETE FROM doubt WHERE order_number = NEW.number;
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
