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
INSERT INTO "data_key" VALUES(0,'a677a6939b1d8ed1',0,'digest',X'E0EE1A439606F610510D9E717543642EE707C55CEB5A49A09F75C7E6DDD19481A9914798150B73C8F86A569544C09C19010FFCED9C0BB22078E2A778',1795262400000000);
INSERT INTO "data_key" VALUES(1,'a677a6939b1d8ed1',0,'data',X'7B65F48BF5B8AAC292546C1C8FB5B2A0779F7A5320C5822F101CCB0E90400EDB7CF8C51DE489B8BDC56A47AD10CE8085C51DBED34C68CA25DEBDB82E',1795262400000000);
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
INSERT INTO "meter" VALUES(1,'meter-1','tcp://meter-1:4059','{"endpoint":"tcp://meter-1:4059"}',X'01000000013BD44546324C696CDEF63C9086B24867955AEBABA34EEE20A2EED99F6B7195AB2D54E1837F223844',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(2,'meter-2','tcp://meter-2:4059','{"endpoint":"tcp://meter-2:4059"}',X'010000000187426DA52339D94FABDD5699B533E6A61D1D721FBEB2609C82E75C1BCA73F760A6454B240B55417C',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(3,'meter-3','tcp://meter-3:4059','{"endpoint":"tcp://meter-3:4059"}',X'0100000001B4CF3802194149A544541880EF4F3B5E570B4F3136E4FFE51C9E453A7B8DBE4DF1DDCF4E0F25A139',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(4,'meter-4','tcp://meter-4:4059','{"endpoint":"tcp://meter-4:4059"}',X'0100000001AC3A58722E915C58CFCF512AD55882633F3032CF715EF47F2A30B8ECC7B3D02D211484641832F04D',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(5,'meter-5','tcp://meter-5:4059','{"endpoint":"tcp://meter-5:4059"}',X'0100000001D2A5139FD87085C132CA1D869C315828FB6FB5E08CD8AFDB4822AED688D62D2F9D71D700F3723853',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(6,'meter-6','tcp://meter-6:4059','{"endpoint":"tcp://meter-6:4059"}',X'01000000014A74B24334FA89240C3F3A339251AB1E7A34BB7C841F37C1BB169BE5CDB89988D26BEBFA526DC034',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(7,'meter-7','tcp://meter-7:4059','{"endpoint":"tcp://meter-7:4059"}',X'01000000010FF358EF73C6954E8FC54A9363F99212E574F318BAA70AB934EEBB2EA4AF65B0C7007303C392149C',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(8,'meter-8','tcp://meter-8:4059','{"endpoint":"tcp://meter-8:4059"}',X'0100000001D0B1253F7BA8858B85FC782E4A1FF807B87EA6060B0DB847072E53785B1F7B57B243A131175136FF',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(9,'meter-9','tcp://meter-9:4059','{"endpoint":"tcp://meter-9:4059"}',X'0100000001AB522BD8C5F5074C11CD46D5F674A42E6384A09B0BD904B89154B02DAC38A7A81237F82631E921D4',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(10,'meter-10','tcp://meter-10:4059','{"endpoint":"tcp://meter-10:4059"}',X'0100000001AD44D8429354B4C04C2BB0D7D31618DF7C18A5FDD17BCCEAEFDB3AD94C26411167A9D480DCA595D0',1,1795262400000000,1795262400000000,NULL,NULL);
INSERT INTO "meter" VALUES(11,'meter-11','tcp://meter-11:4059','{"endpoint":"tcp://meter-11:4059"}',X'0100000001AF9A1D4D8B34A6D6A468C0D5A1DCB48AE6A8C82D7A8ABCBDB8E9FE6802E60BF22ACA8241F908EC0C',1,1795262402000000,1795262402000000,NULL,NULL);
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
INSERT INTO "orders" VALUES(1,'order-queued',1,0,'queued',NULL,0,1795262400000000,1795262400000000,NULL,1795262400000000,NULL,NULL,0,0,NULL,X'FC1F7E58A666AE3E32B23C2590426EC4',NULL,NULL);
INSERT INTO "orders" VALUES(2,'order-waiting',2,0,'waiting',NULL,0,1795262400000000,1795262400000000,NULL,1797854400000000,1797854400000000,NULL,0,0,NULL,X'FC1F7E58A666AE3E32B23C2590426EC4',NULL,NULL);
INSERT INTO "orders" VALUES(3,'order-sending',3,0,'sending',NULL,1,1795262400000000,1795262400000000,NULL,1795262400000000,NULL,NULL,0,0,0,X'FC1F7E58A666AE3E32B23C2590426EC4',NULL,NULL);
INSERT INTO "orders" VALUES(4,'order-pending',4,0,'pending',NULL,1,1795262400000000,1795262400000000,NULL,1795266000000000,NULL,NULL,0,0,0,X'FC1F7E58A666AE3E32B23C2590426EC4',NULL,NULL);
INSERT INTO "orders" VALUES(5,'order-in_doubt',5,0,'in_doubt','no-answer',1,1795262400000000,1795262400000000,NULL,1795266000000000,NULL,NULL,0,1,0,X'FC1F7E58A666AE3E32B23C2590426EC4',NULL,NULL);
INSERT INTO "orders" VALUES(6,'order-reconciling',6,0,'reconciling',NULL,1,1795262400000000,1795262400000000,NULL,1795262400000000,NULL,NULL,0,1,0,X'FC1F7E58A666AE3E32B23C2590426EC4',NULL,NULL);
INSERT INTO "orders" VALUES(7,'order-held',7,0,'held','config',1,1795262400000000,1795262400000000,NULL,NULL,NULL,NULL,0,0,0,X'FC1F7E58A666AE3E32B23C2590426EC4',NULL,NULL);
INSERT INTO "orders" VALUES(8,'order-accepted',8,0,'accepted',NULL,1,1795262400000000,1795262400000000,1795262400000000,NULL,NULL,NULL,0,0,0,X'FC1F7E58A666AE3E32B23C2590426EC4',NULL,NULL);
INSERT INTO "orders" VALUES(9,'order-rejected',9,0,'rejected','used',1,1795262400000000,1795262400000000,1795262400000000,NULL,NULL,NULL,0,0,0,X'FC1F7E58A666AE3E32B23C2590426EC4',NULL,NULL);
INSERT INTO "orders" VALUES(10,'order-expired',10,0,'expired','expired',0,1795262400000000,1795262402000000,1795262402000000,NULL,NULL,1795262401000000,0,0,NULL,X'FC1F7E58A666AE3E32B23C2590426EC4',NULL,NULL);
INSERT INTO "orders" VALUES(11,'order-cancelled',11,0,'cancelled',NULL,0,1795262402000000,1795262402000000,1795262402000000,NULL,NULL,NULL,0,0,NULL,X'FC1F7E58A666AE3E32B23C2590426EC4',NULL,NULL);
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
INSERT INTO "token" VALUES(1,0,X'01000000011F19D8637B5F28CAB093BBE9FE6020570F2D43807EED7C7AE8A154AF3B929DA4FBE49595DA','0001','credit',NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(2,0,X'010000000192C8F60CC9C6094FFE0E60E44CB64B062C1C8D484C5C723C118E92A507CAF0F5439D3577C7','0002','credit',NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(3,0,X'0100000001023F6E673F3191456D8924C91E4B2FD6E049183A6AF2E80A8550814D22A39E945383566C4E','0003','credit',NULL,NULL,1,X'01000000013347251B469D28A9FBCF7BFBBFA03F8FF3777D66B5D0AA688E1BC5A7E4AF074D3385878C242139236E86046EFFEC0C076EE4769B399A0DBF0F72D4',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(4,0,X'0100000001619A5DE009514368FE4B8175CBEEBA581DE1953A5D4F57C47DFF39053E894AA06435A0F361','0004','credit',NULL,NULL,1,X'0100000001D75F93069A0A5B448A17D3AB0D1391F6E4C8A8697DD74D9C899B9ADFF9F0AC0D15B8A4A615C05A3BC73C47EB18149D39E6EBF44E0F7BC53CDC7FED','in_doubt','unknown',NULL,NULL,NULL,'{"elapsed_ms":0}');
INSERT INTO "token" VALUES(5,0,X'01000000017355CDC66EE4B2CE9A3C6EB5EE7F35B29FBC7A606A9AD307A14F588567210F61ECC075E4EA','0005','credit',NULL,NULL,1,X'0100000001B96744D05531F96E0D55D796EB459CF03249BE5C2C7E04F69249272814B45835182FE002F90AB73A6BC61D2C0BA28A11FE87A836CC79A5C507B263','in_doubt','unknown',NULL,'no-answer',NULL,'{"elapsed_ms":0}');
INSERT INTO "token" VALUES(6,0,X'01000000016E0E0A57A3064B1DE301170CF761822C3C7ACE0DA108713BDFEC742343DD72E89314EE19F6','0006','credit',NULL,NULL,1,X'0100000001CB24CF54D7C121A1684BD95C45F9AA5B41E0FA1BA8F1729574E8E975F3B8213E223DA32170829FE24C561BD3FF93D830038611076D8C81646DBEB3','in_doubt','unknown',NULL,'no-answer',NULL,'{"elapsed_ms":0}');
INSERT INTO "token" VALUES(7,0,X'01000000011BDFF64BA96409D60F125B3423C5A29B1BDB55FF37683C1665FE233328EB762BECBAED4DCC','0007','credit',NULL,NULL,1,X'0100000001189E8DACC0F48318ABFE93C3B344D4F2C36A39E473DFBDA2F148832600D7E836C8672B62498D9737E993A24D5EAAEBA8611408B69686893AE3DA10','in_doubt','unknown',NULL,'config',NULL,'{"elapsed_ms":0}');
INSERT INTO "token" VALUES(8,0,X'0100000001499CA95C60C69A61DD0A1ADEA2FA1C0F4C794DA48C8E7FFD6BA18C7C5B64E9C847592CA8F9','0008','credit',NULL,NULL,1,X'0100000001E65C848543E3F1297ADC105301895D36E0324FD90D7E054FD3D81FFF475A2D364D6476D9DCB371ADF4820FFF1FD8B17D3C7EC4584BEEB251AD8F50',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(9,0,X'0100000001DEE7EAEB0B697CB1E67EBF76F90AE24B4842EBA9B5665AEDB125A7D5AD1709169E6176564F','0009','credit',NULL,NULL,1,X'0100000001355E03572475B4793AEF44287E0A8EF5A600FB3FCF1341A66A992B82C314A4D3921ED0DC4E3395F2C21D6E77360482F666DC891D27A3B0F42A61F0',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(10,0,X'010000000157E15428A0E18C5C690DB3F92633203900276BB03CF0BD56C033ADABE10CDBF32456E61A8C','0010','credit',NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "token" VALUES(11,0,X'01000000015CAF1B3E96DD0A6202A2C2C0D11352DA9FF02878F5E3358022498254AC8FB8713C9D208BFC','0011','credit',NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE token_seen (
    meter INTEGER NOT NULL REFERENCES meter (number),
    digest BLOB NOT NULL,
    order_id TEXT NOT NULL,
    PRIMARY KEY (meter, digest)
) STRICT, WITHOUT ROWID;
INSERT INTO "token_seen" VALUES(1,X'3A71AE9D45056CCBF50A594ECDB43DB4','order-queued');
INSERT INTO "token_seen" VALUES(2,X'7B44F9009019F236E4018978F807E128','order-waiting');
INSERT INTO "token_seen" VALUES(3,X'D47A434E3E6144FFB88D752AD3489F98','order-sending');
INSERT INTO "token_seen" VALUES(4,X'973ACC956B07B7F7BB04A8D1EF04F37E','order-pending');
INSERT INTO "token_seen" VALUES(5,X'14743081F515C0316FF61EA7C39C5B35','order-in_doubt');
INSERT INTO "token_seen" VALUES(6,X'7C3D490D89F6CEEA64F82A28582A3A68','order-reconciling');
INSERT INTO "token_seen" VALUES(7,X'3703BF09D3C413DF816C9262F3D84196','order-held');
INSERT INTO "token_seen" VALUES(8,X'57951D00078248729EB8C0BFEA3AFEC4','order-accepted');
INSERT INTO "token_seen" VALUES(9,X'AFF38C0A6BC23BC0F965758E41EDA943','order-rejected');
INSERT INTO "token_seen" VALUES(10,X'E01BC46F0360E98BAF8978E5CF687E7C','order-expired');
INSERT INTO "token_seen" VALUES(11,X'0D87FDB3B881680BF5F68C4C932A6E34','order-cancelled');
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
INSERT INTO "webhook" VALUES('erp','https://erp.example/hook',X'010000000108CCA6B60A5919352EC063748855085F9B9ADA80FB6C18C159A34C42784888C25BFAD13725ECB1','[]',1,1795262400000000,5,0);
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
    INSERT INTO order_count (state, reason, orders) VALUES
        (OLD.state, ifnull(OLD.reason, ''), -1),
        (NEW.state, iif(NEW.closed_at IS NULL, ifnull(NEW.reason, ''), ''), 1)
    ON CONFLICT (state, reason) DO UPDATE SET orders = orders + excluded.orders;
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
