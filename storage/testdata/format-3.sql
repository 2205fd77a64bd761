-- A file of format 3, with tasks, edges, a transaction, a deletion, tokens, writes of
-- another process, a claim that was renewed and one that ran out: "sqlite3 FILE .dump" of a
-- database of the last binary that made this format. It is never changed.
PRAGMA application_id = 0x44637274;
PRAGMA user_version = 3;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE journal_state (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  epoch    TEXT    NOT NULL,           -- tells this journal from every other; new after a restore
  last_seq INTEGER NOT NULL DEFAULT 0, -- newest seq ever given: they are dense, and none is given twice
  indexed  INTEGER NOT NULL DEFAULT 0, -- the full-text index knows the journal up to here
  -- Who writes: 0 anybody, and the triggers journal it; 1 the daemon, inside its
  -- own transactions only, so that nobody else ever sees it; 2 and 3 the triggers
  -- themselves, putting a row right and flipping ready.
  writer   INTEGER NOT NULL DEFAULT 0
);
INSERT INTO journal_state VALUES(1,'fpbx8xv67rsy',21,21,0);
CREATE TABLE tasks (
  num          INTEGER PRIMARY KEY CHECK (num > 0),
  id           TEXT NOT NULL UNIQUE
    CHECK (typeof(id) = 'text' AND length(id) BETWEEN 1 AND 128 AND instr(id, char(0)) = 0
           AND id NOT GLOB '*[^-A-Za-z0-9._:]*'),
  title        TEXT NOT NULL
    CHECK (typeof(title) = 'text' AND length(title) BETWEEN 1 AND 500 AND instr(title, char(0)) = 0
           AND trim(title, char(9, 10, 11, 12, 13, 32, 133, 160, 5760, 8192, 8193, 8194, 8195, 8196, 8197, 8198,
                                8199, 8200, 8201, 8202, 8232, 8233, 8239, 8287, 12288)) <> ''),
  description  TEXT
    CHECK (description IS NULL OR typeof(description) = 'text'
           AND length(CAST(description AS BLOB)) <= 65536 AND instr(description, char(0)) = 0),
  status       TEXT NOT NULL DEFAULT 'todo'
    CHECK (status IN ('todo', 'in_progress', 'blocked', 'done')),
  priority     TEXT NOT NULL DEFAULT 'medium'
    CHECK (priority IN ('low', 'medium', 'high', 'critical')),
  complexity   TEXT NOT NULL DEFAULT 'moderate'
    CHECK (complexity IN ('trivial', 'simple', 'moderate', 'complex', 'epic')),
  assigned_to  TEXT
    CHECK (assigned_to IS NULL OR typeof(assigned_to) = 'text'
           AND length(assigned_to) BETWEEN 1 AND 128 AND instr(assigned_to, char(0)) = 0),
  dependencies TEXT NOT NULL DEFAULT '[]'
    CHECK (CASE WHEN typeof(dependencies) = 'text' AND json_valid(dependencies)
           THEN json_type(dependencies) = 'array' AND json_array_length(dependencies) <= 256
                AND instr(dependencies, char(0)) = 0 AND instr(dependencies, '\u0000') = 0 ELSE 0 END),
  metadata     TEXT NOT NULL DEFAULT '{}'
    CHECK (CASE WHEN typeof(metadata) = 'text' AND json_valid(metadata)
           THEN json_type(metadata) = 'object' AND instr(metadata, char(0)) = 0
                -- An escape of U+0000, but not an escaped backslash and then u0000.
                AND (instr(metadata, '\u0000') = 0 OR instr(replace(metadata, '\\', ''), '\u0000') = 0)
                AND (length(CAST(metadata AS BLOB)) <= 65536 OR length(CAST(json(metadata) AS BLOB)) <= 65536) ELSE 0 END),
  -- What another process writes into these, NULL too, is put right.
  created_at   INTEGER DEFAULT 0,
  updated_at   INTEGER DEFAULT 0,
  version      INTEGER DEFAULT 0, -- seq of the event that made this state
  ready        INTEGER DEFAULT 0,
  leased_by    TEXT,
  document     TEXT NOT NULL DEFAULT ''    -- what clients get: the columns as JSON
);
INSERT INTO tasks VALUES(1,'design','Design the format "2" — naïve ☃',NULL,'done','high','moderate',NULL,'[]','{"b":1.50,"c":true}',1795622658767,1795622658806,5,0,NULL,'{"id":"design","title":"Design the format \"2\" — naïve ☃","description":null,"status":"done","priority":"high","complexity":"moderate","assigned_to":null,"dependencies":[],"metadata":{"b":1.50,"c":true},"created_at":1795622658767,"updated_at":1795622658806,"version":5,"ready":false,"leased_by":null}');
INSERT INTO tasks VALUES(2,'build','Build it','With words, to be found.','todo','medium','moderate',NULL,'["design"]','{}',1795622658778,1795622658806,6,1,NULL,'{"id":"build","title":"Build it","description":"With words, to be found.","status":"todo","priority":"medium","complexity":"moderate","assigned_to":null,"dependencies":["design"],"metadata":{},"created_at":1795622658778,"updated_at":1795622658806,"version":6,"ready":true,"leased_by":null}');
INSERT INTO tasks VALUES(3,'ship','Ship it',NULL,'blocked','medium','epic','anna','["design","build"]','{}',1795622658785,1795622658865,14,0,NULL,'{"id":"ship","title":"Ship it","description":null,"status":"blocked","priority":"medium","complexity":"epic","assigned_to":"anna","dependencies":["design","build"],"metadata":{},"created_at":1795622658785,"updated_at":1795622658865,"version":14,"ready":false,"leased_by":null}');
INSERT INTO tasks VALUES(5,'t2','second',NULL,'todo','critical','moderate',NULL,'["t1"]','{}',1795622658838,1795622658838,12,1,NULL,'{"id":"t2","title":"second","description":null,"status":"todo","priority":"critical","complexity":"moderate","assigned_to":null,"dependencies":["t1"],"metadata":{},"created_at":1795622658838,"updated_at":1795622658838,"version":12,"ready":true,"leased_by":null}');
INSERT INTO tasks VALUES(6,'outside','written by the shell',NULL,'todo','medium','moderate',NULL,'[]','{"x":1.0}',1795622658853,1795622658853,13,1,NULL,'{"id":"outside","title":"written by the shell","description":null,"status":"todo","priority":"medium","complexity":"moderate","assigned_to":null,"dependencies":[],"metadata":{"x":1.0},"created_at":1795622658853,"updated_at":1795622658853,"version":13,"ready":true,"leased_by":null}');
INSERT INTO tasks VALUES(7,'read','task read',NULL,'in_progress','medium','moderate','somebody','[]','{}',1700000000000,1700000001000,19,0,'somebody','{"id":"read","title":"task read","description":null,"status":"in_progress","priority":"medium","complexity":"moderate","assigned_to":"somebody","dependencies":[],"metadata":{},"created_at":1700000000000,"updated_at":1700000001000,"version":19,"ready":false,"leased_by":"somebody"}');
INSERT INTO tasks VALUES(8,'found','task found',NULL,'todo','medium','moderate',NULL,'[]','{}',1700000000000,1700000004000,21,1,NULL,'{"id":"found","title":"task found","description":null,"status":"todo","priority":"medium","complexity":"moderate","assigned_to":null,"dependencies":[],"metadata":{},"created_at":1700000000000,"updated_at":1700000004000,"version":21,"ready":true,"leased_by":null}');
INSERT INTO tasks VALUES(9,'wait','task wait',NULL,'todo','medium','moderate',NULL,'["read","found"]','{}',1700000000000,1700000000000,18,0,NULL,'{"id":"wait","title":"task wait","description":null,"status":"todo","priority":"medium","complexity":"moderate","assigned_to":null,"dependencies":["read","found"],"metadata":{},"created_at":1700000000000,"updated_at":1700000000000,"version":18,"ready":false,"leased_by":null}');
CREATE TABLE dependencies (
  task       TEXT NOT NULL,
  dependency TEXT NOT NULL,
  PRIMARY KEY (task, dependency)
) WITHOUT ROWID;
INSERT INTO dependencies VALUES('ship','build');
INSERT INTO dependencies VALUES('build','design');
INSERT INTO dependencies VALUES('ship','design');
INSERT INTO dependencies VALUES('wait','found');
INSERT INTO dependencies VALUES('wait','read');
INSERT INTO dependencies VALUES('t2','t1');
CREATE TABLE journal (
  seq                 INTEGER PRIMARY KEY,
  task_id             TEXT NOT NULL,
  change_type         TEXT NOT NULL CHECK (change_type IN ('created', 'updated', 'deleted')),
  task                TEXT NOT NULL, -- the document after the change; deleted: the last one
  previous_status     TEXT,
  new_status          TEXT,
  previous            TEXT,          -- updated: JSON object, old values of what changed
  previous_version    INTEGER,       -- updated: with these two the old document can be restored
  previous_updated_at INTEGER,
  origin              TEXT NOT NULL CHECK (origin IN ('rpc', 'external', 'lease')),
  actor               TEXT,
  source              INTEGER NOT NULL DEFAULT 0, -- the connection that made the change
  tx_last             INTEGER,                    -- seq of the last event of a transaction
  timestamp           INTEGER NOT NULL
);
INSERT INTO journal VALUES(1,'design','created','{"id":"design","title":"Design the format \"2\" — naïve ☃","description":null,"status":"todo","priority":"high","complexity":"moderate","assigned_to":null,"dependencies":[],"metadata":{"b":1.50,"c":true},"created_at":1795622658767,"updated_at":1795622658767,"version":1,"ready":true,"leased_by":null}',NULL,'todo',NULL,NULL,NULL,'rpc','writer',6551349147283089551,NULL,1795622658767);
INSERT INTO journal VALUES(2,'build','created','{"id":"build","title":"Build it","description":"With words, to be found.","status":"todo","priority":"medium","complexity":"moderate","assigned_to":null,"dependencies":["design"],"metadata":{},"created_at":1795622658778,"updated_at":1795622658778,"version":2,"ready":false,"leased_by":null}',NULL,'todo',NULL,NULL,NULL,'rpc','writer',4464068998336923882,NULL,1795622658778);
INSERT INTO journal VALUES(3,'ship','created','{"id":"ship","title":"Ship it","description":null,"status":"todo","priority":"medium","complexity":"epic","assigned_to":"anna","dependencies":["design","build"],"metadata":{},"created_at":1795622658785,"updated_at":1795622658785,"version":3,"ready":false,"leased_by":null}',NULL,'todo',NULL,NULL,NULL,'rpc','writer',8588322552388459410,NULL,1795622658785);
INSERT INTO journal VALUES(4,'design','updated','{"id":"design","title":"Design the format \"2\" — naïve ☃","description":null,"status":"in_progress","priority":"high","complexity":"moderate","assigned_to":null,"dependencies":[],"metadata":{"b":1.50,"c":true},"created_at":1795622658767,"updated_at":1795622658794,"version":4,"ready":false,"leased_by":null}','todo','in_progress','{"status":"todo","ready":true}',1,1795622658767,'rpc','writer',2462705089445292411,NULL,1795622658794);
INSERT INTO journal VALUES(5,'design','updated','{"id":"design","title":"Design the format \"2\" — naïve ☃","description":null,"status":"done","priority":"high","complexity":"moderate","assigned_to":null,"dependencies":[],"metadata":{"b":1.50,"c":true},"created_at":1795622658767,"updated_at":1795622658806,"version":5,"ready":false,"leased_by":null}','in_progress','done','{"status":"in_progress"}',4,1795622658794,'rpc','writer',1215478495087862596,NULL,1795622658806);
INSERT INTO journal VALUES(6,'build','updated','{"id":"build","title":"Build it","description":"With words, to be found.","status":"todo","priority":"medium","complexity":"moderate","assigned_to":null,"dependencies":["design"],"metadata":{},"created_at":1795622658778,"updated_at":1795622658806,"version":6,"ready":true,"leased_by":null}','todo','todo','{"ready":false}',2,1795622658778,'rpc','writer',0,NULL,1795622658806);
INSERT INTO journal VALUES(7,'mistake','created','{"id":"mistake","title":"Not needed","description":null,"status":"todo","priority":"medium","complexity":"moderate","assigned_to":null,"dependencies":[],"metadata":{},"created_at":1795622658818,"updated_at":1795622658818,"version":7,"ready":true,"leased_by":null}',NULL,'todo',NULL,NULL,NULL,'rpc','writer',5791719602858150261,NULL,1795622658818);
INSERT INTO journal VALUES(8,'mistake','deleted','{"id":"mistake","title":"Not needed","description":null,"status":"todo","priority":"medium","complexity":"moderate","assigned_to":null,"dependencies":[],"metadata":{},"created_at":1795622658818,"updated_at":1795622658818,"version":7,"ready":true,"leased_by":null}','todo',NULL,NULL,NULL,NULL,'rpc','writer',1459607996502286374,NULL,1795622658826);
INSERT INTO journal VALUES(9,'t1','created','{"id":"t1","title":"first of a transaction","description":null,"status":"todo","priority":"medium","complexity":"moderate","assigned_to":null,"dependencies":[],"metadata":{},"created_at":1795622658838,"updated_at":1795622658838,"version":9,"ready":true,"leased_by":null}',NULL,'todo',NULL,NULL,NULL,'rpc','writer',3184318133896163865,12,1795622658838);
INSERT INTO journal VALUES(10,'t2','created','{"id":"t2","title":"second","description":null,"status":"todo","priority":"critical","complexity":"moderate","assigned_to":null,"dependencies":["t1"],"metadata":{},"created_at":1795622658838,"updated_at":1795622658838,"version":10,"ready":false,"leased_by":null}',NULL,'todo',NULL,NULL,NULL,'rpc','writer',3184318133896163865,12,1795622658838);
INSERT INTO journal VALUES(11,'t1','updated','{"id":"t1","title":"first of a transaction","description":null,"status":"done","priority":"medium","complexity":"moderate","assigned_to":null,"dependencies":[],"metadata":{},"created_at":1795622658838,"updated_at":1795622658838,"version":11,"ready":false,"leased_by":null}','todo','done','{"status":"todo","ready":true}',9,1795622658838,'rpc','writer',3184318133896163865,12,1795622658838);
INSERT INTO journal VALUES(12,'t2','updated','{"id":"t2","title":"second","description":null,"status":"todo","priority":"critical","complexity":"moderate","assigned_to":null,"dependencies":["t1"],"metadata":{},"created_at":1795622658838,"updated_at":1795622658838,"version":12,"ready":true,"leased_by":null}','todo','todo','{"ready":false}',10,1795622658838,'rpc','writer',0,12,1795622658838);
INSERT INTO journal VALUES(13,'outside','created','{"id":"outside","title":"written by the shell","description":null,"status":"todo","priority":"medium","complexity":"moderate","assigned_to":null,"dependencies":[],"metadata":{"x":1.0},"created_at":1795622658853,"updated_at":1795622658853,"version":13,"ready":true,"leased_by":null}',NULL,'todo',NULL,NULL,NULL,'external',NULL,0,NULL,1795622658853);
INSERT INTO journal VALUES(14,'ship','updated','{"id":"ship","title":"Ship it","description":null,"status":"blocked","priority":"medium","complexity":"epic","assigned_to":"anna","dependencies":["design","build"],"metadata":{},"created_at":1795622658785,"updated_at":1795622658865,"version":14,"ready":false,"leased_by":null}','todo','blocked','{"status":"todo"}',3,1795622658785,'external',NULL,0,NULL,1795622658865);
INSERT INTO journal VALUES(15,'t1','deleted','{"id":"t1","title":"first of a transaction","description":null,"status":"done","priority":"medium","complexity":"moderate","assigned_to":null,"dependencies":[],"metadata":{},"created_at":1795622658838,"updated_at":1795622658838,"version":11,"ready":false,"leased_by":null}','done',NULL,NULL,NULL,NULL,'external',NULL,0,NULL,1795622658869);
INSERT INTO journal VALUES(16,'read','created','{"id":"read","title":"task read","description":null,"status":"todo","priority":"medium","complexity":"moderate","assigned_to":null,"dependencies":[],"metadata":{},"created_at":1700000000000,"updated_at":1700000000000,"version":16,"ready":true,"leased_by":null}',NULL,'todo',NULL,NULL,NULL,'rpc',NULL,0,NULL,1700000000000);
INSERT INTO journal VALUES(17,'found','created','{"id":"found","title":"task found","description":null,"status":"todo","priority":"medium","complexity":"moderate","assigned_to":null,"dependencies":[],"metadata":{},"created_at":1700000000000,"updated_at":1700000000000,"version":17,"ready":true,"leased_by":null}',NULL,'todo',NULL,NULL,NULL,'rpc',NULL,0,NULL,1700000000000);
INSERT INTO journal VALUES(18,'wait','created','{"id":"wait","title":"task wait","description":null,"status":"todo","priority":"medium","complexity":"moderate","assigned_to":null,"dependencies":["read","found"],"metadata":{},"created_at":1700000000000,"updated_at":1700000000000,"version":18,"ready":false,"leased_by":null}',NULL,'todo',NULL,NULL,NULL,'rpc',NULL,0,NULL,1700000000000);
INSERT INTO journal VALUES(19,'read','updated','{"id":"read","title":"task read","description":null,"status":"in_progress","priority":"medium","complexity":"moderate","assigned_to":"somebody","dependencies":[],"metadata":{},"created_at":1700000000000,"updated_at":1700000001000,"version":19,"ready":false,"leased_by":"somebody"}','todo','in_progress','{"status":"todo","assigned_to":null,"ready":true,"leased_by":null}',16,1700000000000,'rpc','anna',77,NULL,1700000001000);
INSERT INTO journal VALUES(20,'found','updated','{"id":"found","title":"task found","description":null,"status":"in_progress","priority":"medium","complexity":"moderate","assigned_to":"somebody","dependencies":[],"metadata":{},"created_at":1700000000000,"updated_at":1700000003000,"version":20,"ready":false,"leased_by":"somebody"}','todo','in_progress','{"status":"todo","assigned_to":null,"ready":true,"leased_by":null}',17,1700000000000,'rpc',NULL,0,NULL,1700000003000);
INSERT INTO journal VALUES(21,'found','updated','{"id":"found","title":"task found","description":null,"status":"todo","priority":"medium","complexity":"moderate","assigned_to":null,"dependencies":[],"metadata":{},"created_at":1700000000000,"updated_at":1700000004000,"version":21,"ready":true,"leased_by":null}','in_progress','todo','{"status":"in_progress","assigned_to":"somebody","ready":false,"leased_by":"somebody"}',20,1700000003000,'lease',NULL,0,NULL,1700000004000);
PRAGMA writable_schema=ON;
INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES('table','search','search',0,'CREATE VIRTUAL TABLE search USING fts5 (
  words, content = '''', contentless_delete = 1, detail = ''none'', tokenize = ''ascii''
)');
CREATE TABLE IF NOT EXISTS 'search_data'(id INTEGER PRIMARY KEY, block BLOB);
INSERT INTO search_data VALUES(1,X'0819');
INSERT INTO search_data VALUES(10,X'00000000ff000001010202000201010101010000050201010202000003');
INSERT INTO search_data VALUES(137438953473,X'00000076023032020102626501020475696c640102017903010664657369676e020106666f726d6174020303756e640101026974010301066e61c3af76650201067365636f6e6405020468656c6c0303026970040103746865020102016f010104776974680102046f72647301020672697474656e030404050704090906060909070507040707');
INSERT INTO search_data VALUES(274877906945,X'000000230630666f756e64060104726561640701047461736b0601010104776169740804080709');
CREATE TABLE IF NOT EXISTS 'search_idx'(segid, term, pgno, PRIMARY KEY(segid, term)) WITHOUT ROWID;
INSERT INTO search_idx VALUES(1,X'',2);
INSERT INTO search_idx VALUES(2,X'',2);
CREATE TABLE IF NOT EXISTS 'search_docsize'(id INTEGER PRIMARY KEY, sz BLOB, origin INTEGER);
INSERT INTO search_docsize VALUES(1,X'07',1);
INSERT INTO search_docsize VALUES(2,X'05',1);
INSERT INTO search_docsize VALUES(3,X'04',1);
INSERT INTO search_docsize VALUES(4,X'02',1);
INSERT INTO search_docsize VALUES(5,X'01',1);
INSERT INTO search_docsize VALUES(6,X'02',2);
INSERT INTO search_docsize VALUES(7,X'02',2);
INSERT INTO search_docsize VALUES(8,X'02',2);
CREATE TABLE IF NOT EXISTS 'search_config'(k PRIMARY KEY, v) WITHOUT ROWID;
INSERT INTO search_config VALUES('version',4);
CREATE TABLE search_tasks (
  num     INTEGER PRIMARY KEY, -- the rowid in search
  task_id TEXT NOT NULL UNIQUE
);
INSERT INTO search_tasks VALUES(1,'build');
INSERT INTO search_tasks VALUES(2,'design');
INSERT INTO search_tasks VALUES(3,'outside');
INSERT INTO search_tasks VALUES(4,'ship');
INSERT INTO search_tasks VALUES(5,'t2');
INSERT INTO search_tasks VALUES(6,'found');
INSERT INTO search_tasks VALUES(7,'read');
INSERT INTO search_tasks VALUES(8,'wait');
CREATE TABLE outside (
  id       TEXT PRIMARY KEY,
  existed  INTEGER NOT NULL, -- 0 a new task, 1 a task, 2 a task that did not change
  last_seq INTEGER NOT NULL, -- of journal_state at that time
  title, description, status, priority, complexity, assigned_to, dependencies, metadata,
  created_at, updated_at, version, ready, leased_by, document,
  previous TEXT,             -- what changed, as in the journal
  settle   INTEGER           -- writing it lets outside_settle do the rest
);
CREATE TABLE tokens (
  name       TEXT NOT NULL PRIMARY KEY
    CHECK (typeof(name) = 'text' AND length(name) BETWEEN 1 AND 64 AND name NOT GLOB '*[^-A-Za-z0-9._@]*'),
  hash       BLOB NOT NULL UNIQUE          -- SHA-256 of the token, which itself is stored nowhere
    CHECK (typeof(hash) = 'blob' AND length(hash) = 32),
  scope      TEXT NOT NULL CHECK (scope IN ('read', 'write')),
  created_at INTEGER NOT NULL,             -- Unix milliseconds, like the next one
  revoked_at INTEGER                       -- NULL: it lets its holder in
) WITHOUT ROWID;
INSERT INTO tokens VALUES('gone',X'b318ec924cbbcda0ba8f7de6fd6e76b2693bb3a8364f66a2507204d6015432e7','write',1795622657999,1795622658033);
INSERT INTO tokens VALUES('reader',X'2389e8a43c1e46686e82cfd0e42a7d598e8b8e2fd2c6619f3090763df6a7ca59','read',1795622657969,NULL);
INSERT INTO tokens VALUES('writer',X'ae289e1526138d2e502dcb57c98d04d589b070356fc6d867dc983098ef6aa897','write',1795622657929,NULL);
CREATE TABLE leases (
  num        INTEGER PRIMARY KEY AUTOINCREMENT, -- grows with each claim and renewal: daemons read what is new
  task_id    TEXT    NOT NULL UNIQUE,
  token      TEXT    NOT NULL,           -- proves the claim
  seq        INTEGER NOT NULL,           -- of the event of the claim
  length     INTEGER NOT NULL,           -- milliseconds from the last renewal to the end
  expires_at INTEGER NOT NULL,           -- Unix milliseconds
  source     INTEGER NOT NULL DEFAULT 0  -- the connection with which it ends, 0 for none
);
INSERT INTO leases VALUES(2,'read','first',19,5000,1700000007000,77);
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('leases',3);
CREATE INDEX tasks_created ON tasks (created_at, id);
CREATE INDEX tasks_status_created ON tasks (status, created_at, id);
CREATE INDEX tasks_updated ON tasks (updated_at, id);
CREATE INDEX dependencies_reverse ON dependencies (dependency, task);
CREATE INDEX journal_task ON journal (task_id, seq);
CREATE VIEW readiness AS
  SELECT id, status = 'todo' AND leased_by IS NULL AND NOT EXISTS (
    SELECT 1 FROM dependencies AS edge JOIN tasks AS other ON other.id = edge.dependency
    WHERE edge.task = tasks.id AND other.status <> 'done') AS ready
  FROM tasks;
CREATE VIEW clock AS
  SELECT CAST(strftime('%s', 'now') AS INTEGER) * 1000
       + CAST(substr(strftime('%f', 'now'), 4, 3) AS INTEGER) AS now;
CREATE VIEW documents AS
  SELECT id, json_object(
    'id', id, 'title', title, 'description', description, 'status', status, 'priority', priority,
    'complexity', complexity, 'assigned_to', assigned_to, 'dependencies', json(dependencies),
    'metadata', json(metadata), 'created_at', created_at, 'updated_at', updated_at, 'version', version,
    'ready', json(CASE ready WHEN 1 THEN 'true' ELSE 'false' END), 'leased_by', leased_by) AS document
  FROM tasks;
CREATE TRIGGER tasks_before_insert BEFORE INSERT ON tasks WHEN (SELECT writer FROM journal_state) = 0 BEGIN
  -- REPLACE would delete that task without a word. A num that is not given is -1.
  SELECT RAISE(ABORT, 'num: is the number of another task') FROM tasks WHERE num = NEW.num AND id <> NEW.id;
  DELETE FROM outside WHERE id = NEW.id;
  INSERT INTO outside (id, existed, last_seq, title, description, status, priority, complexity, assigned_to,
                       dependencies, metadata, created_at, updated_at, version, ready, leased_by, document)
    SELECT id, 1, (SELECT last_seq FROM journal_state), title, description, status, priority, complexity, assigned_to,
           dependencies, metadata, created_at, updated_at, version, ready, leased_by, document
    FROM tasks WHERE id = NEW.id;
END
;
CREATE TRIGGER tasks_after_insert AFTER INSERT ON tasks WHEN (SELECT writer FROM journal_state) = 0 BEGIN
  INSERT INTO outside (id, existed, last_seq)
    SELECT NEW.id, 0, last_seq FROM journal_state WHERE NOT EXISTS (SELECT 1 FROM outside WHERE id = NEW.id);

  -- If the delete trigger was told, take back what it did: the event of the
  -- deletion, and the flips of ready that it caused.
  UPDATE journal_state SET writer = 2;
  UPDATE tasks SET (ready, version, updated_at) =
      (SELECT 1 - ready, previous_version, previous_updated_at FROM journal
       WHERE task_id = tasks.id AND seq > (SELECT last_seq FROM outside WHERE id = NEW.id))
    WHERE id IN (SELECT task_id FROM journal
                 WHERE seq > (SELECT last_seq FROM outside WHERE id = NEW.id) AND change_type = 'updated');
  UPDATE tasks SET document = (SELECT document FROM documents WHERE id = tasks.id)
    WHERE id IN (SELECT task_id FROM journal
                 WHERE seq > (SELECT last_seq FROM outside WHERE id = NEW.id) AND change_type = 'updated');
  DELETE FROM journal WHERE seq > (SELECT last_seq FROM outside WHERE id = NEW.id);
  UPDATE journal_state SET writer = 0, last_seq = (SELECT last_seq FROM outside WHERE id = NEW.id);

  UPDATE outside SET settle = 1 WHERE id = NEW.id;
END
;
CREATE TRIGGER tasks_before_update BEFORE UPDATE OF id, num ON tasks
WHEN (SELECT writer FROM journal_state) = 0 AND (NEW.id IS NOT OLD.id OR NEW.num IS NOT OLD.num) BEGIN
  SELECT RAISE(ABORT, 'id: cannot be changed, nor can num');
END;
CREATE TRIGGER tasks_after_update AFTER UPDATE ON tasks WHEN (SELECT writer FROM journal_state) = 0 BEGIN
  DELETE FROM outside WHERE id = OLD.id;
  INSERT INTO outside (id, existed, last_seq, title, description, status, priority, complexity, assigned_to,
                       dependencies, metadata, created_at, updated_at, version, ready, leased_by, document)
    VALUES (OLD.id, 1, 0, OLD.title, OLD.description, OLD.status, OLD.priority, OLD.complexity, OLD.assigned_to,
            OLD.dependencies, OLD.metadata, OLD.created_at, OLD.updated_at, OLD.version, OLD.ready, OLD.leased_by,
            OLD.document);
  UPDATE outside SET settle = 1 WHERE id = OLD.id;
END;
CREATE TRIGGER outside_settle AFTER UPDATE OF settle ON outside BEGIN
  UPDATE journal_state SET writer = 2;

  -- What no CHECK can say.
  SELECT RAISE(ABORT, 'dependencies: every item must be a task id') FROM tasks, json_each(tasks.dependencies) AS item
    WHERE tasks.id = NEW.id AND (item.type <> 'text' OR length(item.value) NOT BETWEEN 1 AND 128
                                 OR item.value GLOB '*[^-A-Za-z0-9._:]*');
  SELECT RAISE(ABORT, 'dependencies: must not contain duplicates') FROM tasks, json_each(tasks.dependencies) AS item
    WHERE tasks.id = NEW.id GROUP BY item.value HAVING count(*) > 1;
  SELECT RAISE(ABORT, 'dependencies: must not contain the task itself') FROM tasks, json_each(tasks.dependencies) AS item
    WHERE tasks.id = NEW.id AND item.value = NEW.id;

  -- What is the daemon's goes back to what it was.
  DELETE FROM dependencies WHERE task = NEW.id;
  INSERT INTO dependencies (task, dependency)
    SELECT NEW.id, item.value FROM tasks, json_each(tasks.dependencies) AS item WHERE tasks.id = NEW.id;
  UPDATE tasks SET
      dependencies = json(dependencies),
      metadata     = json(metadata),
      version      = coalesce(NEW.version, 0),
      created_at   = coalesce(NEW.created_at, (SELECT now FROM clock)),
      updated_at   = coalesce(NEW.updated_at, 0),
      leased_by    = CASE WHEN status = 'in_progress' THEN NEW.leased_by END,
      document     = coalesce(NEW.document, '')
    WHERE id = NEW.id;
  UPDATE tasks SET ready = (SELECT ready FROM readiness WHERE id = NEW.id) WHERE id = NEW.id;

  UPDATE outside SET previous = (
    SELECT '{' || substr(
         CASE WHEN NEW.title       IS NOT t.title       THEN ',"title":'       || json_quote(NEW.title)       ELSE '' END
      || CASE WHEN NEW.description IS NOT t.description THEN ',"description":' || json_quote(NEW.description) ELSE '' END
      || CASE WHEN NEW.status      IS NOT t.status      THEN ',"status":'      || json_quote(NEW.status)      ELSE '' END
      || CASE WHEN NEW.priority    IS NOT t.priority    THEN ',"priority":'    || json_quote(NEW.priority)    ELSE '' END
      || CASE WHEN NEW.complexity  IS NOT t.complexity  THEN ',"complexity":'  || json_quote(NEW.complexity)  ELSE '' END
      || CASE WHEN NEW.assigned_to IS NOT t.assigned_to THEN ',"assigned_to":' || json_quote(NEW.assigned_to) ELSE '' END
      || CASE WHEN json(NEW.dependencies) IS NOT json(t.dependencies) THEN ',"dependencies":' || json(NEW.dependencies) ELSE '' END
      || CASE WHEN json(NEW.metadata)     IS NOT json(t.metadata)     THEN ',"metadata":'     || json(NEW.metadata)     ELSE '' END
      || CASE WHEN NEW.ready       IS NOT t.ready       THEN ',"ready":'       || CASE NEW.ready WHEN 1 THEN 'true' ELSE 'false' END ELSE '' END
      || CASE WHEN NEW.leased_by   IS NOT t.leased_by   THEN ',"leased_by":'   || json_quote(NEW.leased_by)   ELSE '' END
      , 2) || '}'
    FROM tasks AS t WHERE t.id = NEW.id)
    WHERE id = NEW.id AND NEW.existed;
  -- A statement that changed nothing, or only what is the daemon's, is no event.
  UPDATE outside SET existed = 2 WHERE id = NEW.id AND previous = '{}';

  UPDATE journal_state SET last_seq = last_seq + 1
    WHERE (SELECT existed FROM outside WHERE id = NEW.id) < 2;
  UPDATE tasks SET version = (SELECT last_seq FROM journal_state), updated_at = (SELECT now FROM clock)
    WHERE id = NEW.id AND (SELECT existed FROM outside WHERE id = NEW.id) < 2;
  UPDATE tasks SET document = (SELECT document FROM documents WHERE id = NEW.id)
    WHERE id = NEW.id AND (SELECT existed FROM outside WHERE id = NEW.id) < 2;
  INSERT INTO journal (seq, task_id, change_type, task, previous_status, new_status, previous,
                       previous_version, previous_updated_at, origin, timestamp)
    SELECT t.version, t.id, CASE o.existed WHEN 0 THEN 'created' ELSE 'updated' END, t.document, NEW.status, t.status,
           o.previous, NEW.version, NEW.updated_at, 'external', t.updated_at
    FROM tasks AS t JOIN outside AS o ON o.id = t.id WHERE t.id = NEW.id AND o.existed < 2;

  UPDATE journal_state SET writer = 3;
  UPDATE tasks SET ready = (SELECT r.ready FROM readiness AS r WHERE r.id = tasks.id)
    WHERE id IN (SELECT task FROM dependencies WHERE dependency = NEW.id)
      AND ready <> (SELECT r.ready FROM readiness AS r WHERE r.id = tasks.id);
  UPDATE journal_state SET writer = 0;
  DELETE FROM outside WHERE id = NEW.id;
END
;
CREATE TRIGGER tasks_after_delete AFTER DELETE ON tasks WHEN (SELECT writer FROM journal_state) = 0 BEGIN
  DELETE FROM dependencies WHERE task = OLD.id;
  UPDATE journal_state SET writer = 3, last_seq = last_seq + 1;
  INSERT INTO journal (seq, task_id, change_type, task, previous_status, origin, timestamp)
    VALUES ((SELECT last_seq FROM journal_state), OLD.id, 'deleted', OLD.document, OLD.status, 'external',
            (SELECT now FROM clock));
  UPDATE tasks SET ready = (SELECT r.ready FROM readiness AS r WHERE r.id = tasks.id)
    WHERE id IN (SELECT task FROM dependencies WHERE dependency = OLD.id)
      AND ready <> (SELECT r.ready FROM readiness AS r WHERE r.id = tasks.id);
  UPDATE journal_state SET writer = 0;
END;
CREATE TRIGGER tasks_after_flip AFTER UPDATE OF ready ON tasks
WHEN (SELECT writer FROM journal_state) = 3 AND NEW.ready <> OLD.ready BEGIN
  UPDATE journal_state SET last_seq = last_seq + 1;
  UPDATE tasks SET version = (SELECT last_seq FROM journal_state), updated_at = (SELECT now FROM clock) WHERE id = NEW.id;
  UPDATE tasks SET document = (SELECT document FROM documents WHERE id = NEW.id) WHERE id = NEW.id;
  INSERT INTO journal (seq, task_id, change_type, task, previous_status, new_status, previous,
                       previous_version, previous_updated_at, origin, timestamp)
    SELECT version, id, 'updated', document, status, status,
           '{"ready":' || CASE OLD.ready WHEN 1 THEN 'true' ELSE 'false' END || '}',
           OLD.version, OLD.updated_at, 'external', updated_at
    FROM tasks WHERE id = NEW.id;
END;
CREATE INDEX tasks_ready ON tasks (
  (CASE priority WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 ELSE 3 END), created_at, num, assigned_to
) WHERE ready = 1;
PRAGMA writable_schema=OFF;
COMMIT;
