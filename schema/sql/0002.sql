-- Version 2: who may come in.

-- One row for each token that was ever handed out and not forgotten since. While
-- there is one, the daemons that serve this file ask for a token; that holds for
-- revoked ones too, so that revoking the last one does not open the door.
CREATE TABLE tokens (
  name       TEXT NOT NULL PRIMARY KEY
    CHECK (typeof(name) = 'text' AND length(name) BETWEEN 1 AND 64 AND name NOT GLOB '*[^-A-Za-z0-9._@]*'),
  hash       BLOB NOT NULL UNIQUE          -- SHA-256 of the token, which itself is stored nowhere
    CHECK (typeof(hash) = 'blob' AND length(hash) = 32),
  scope      TEXT NOT NULL CHECK (scope IN ('read', 'write')),
  created_at INTEGER NOT NULL,             -- Unix milliseconds, like the next one
  revoked_at INTEGER                       -- NULL: it lets its holder in
) WITHOUT ROWID;
