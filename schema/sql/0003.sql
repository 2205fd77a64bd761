-- Version 3: leases.

-- A claim, beside its task: that one has leased_by, and each change of that is an
-- event, but a renewal is none. A row whose task has no leased_by (another process has
-- set its status) means nothing any more, and goes when its time is over.
CREATE TABLE leases (
  num        INTEGER PRIMARY KEY AUTOINCREMENT, -- grows with each claim and renewal: daemons read what is new
  task_id    TEXT    NOT NULL UNIQUE,
  token      TEXT    NOT NULL,           -- proves the claim
  seq        INTEGER NOT NULL,           -- of the event of the claim
  length     INTEGER NOT NULL,           -- milliseconds from the last renewal to the end
  expires_at INTEGER NOT NULL,           -- Unix milliseconds
  source     INTEGER NOT NULL DEFAULT 0  -- the connection with which it ends, 0 for none
);

-- The ready tasks in the order in which they are claimed. Who claims of certain assignees
-- only, and finds none, has not looked into a single row.
CREATE INDEX tasks_ready ON tasks (
  (CASE priority WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 ELSE 3 END), created_at, num, assigned_to
) WHERE ready = 1;
