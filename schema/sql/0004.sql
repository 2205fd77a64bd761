-- Version 4: clusters.

-- One row while this file follows the log of record of a cluster: then every daemon of the
-- cluster makes the same changes in the same order, each to its own file.
CREATE TABLE cluster (
  one         INTEGER PRIMARY KEY CHECK (one = 1),
  name        TEXT    NOT NULL                    -- of the cluster
    CHECK (typeof(name) = 'text' AND name <> ''),
  position    INTEGER NOT NULL                    -- in the log: everything up to here is in this file
    CHECK (typeof(position) = 'integer' AND position >= 0),
  at          INTEGER NOT NULL                    -- Unix milliseconds: the time of the last change that had an effect
    CHECK (typeof(at) = 'integer'),
  chain       BLOB    NOT NULL                    -- SHA-256 over all events since the cluster began
    CHECK (typeof(chain) = 'blob' AND length(chain) = 32),
  incarnation INTEGER NOT NULL DEFAULT 0          -- of the daemon that follows: the upper half of its sources; 0 for none
    CHECK (typeof(incarnation) = 'integer' AND incarnation >= 0)
);

-- What another process wrote would be in this file and in no other. It is refused before
-- anything else happens, an UPDATE that changes nothing like any other. The message cannot
-- hold the name: RAISE takes a literal only before SQLite 3.47.
CREATE TRIGGER cluster_before_insert BEFORE INSERT ON tasks
WHEN (SELECT writer FROM journal_state) = 0 AND EXISTS (SELECT 1 FROM cluster) BEGIN
  SELECT RAISE(ABORT, 'tasks: this database belongs to a cluster (SELECT name FROM cluster): write through its daemon');
END;

CREATE TRIGGER cluster_before_update BEFORE UPDATE ON tasks
WHEN (SELECT writer FROM journal_state) = 0 AND EXISTS (SELECT 1 FROM cluster) BEGIN
  SELECT RAISE(ABORT, 'tasks: this database belongs to a cluster (SELECT name FROM cluster): write through its daemon');
END;

CREATE TRIGGER cluster_before_delete BEFORE DELETE ON tasks
WHEN (SELECT writer FROM journal_state) = 0 AND EXISTS (SELECT 1 FROM cluster) BEGIN
  SELECT RAISE(ABORT, 'tasks: this database belongs to a cluster (SELECT name FROM cluster): write through its daemon');
END;
