-- Schema 1 of the local database. Released text: never edit it, add a migration.

CREATE TABLE schema (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  version INTEGER NOT NULL UNIQUE,
  updated_at DATETIME NOT NULL
);
CREATE TABLE certificates (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  fingerprint TEXT NOT NULL UNIQUE,
  type INTEGER NOT NULL,
  name TEXT NOT NULL,
  certificate TEXT NOT NULL
);
CREATE TABLE config (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  key VARCHAR(255) NOT NULL UNIQUE,
  value TEXT
);
CREATE TABLE patches (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  name VARCHAR(255) NOT NULL UNIQUE,
  applied_at DATETIME NOT NULL
);
CREATE TABLE raft_nodes (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  address TEXT NOT NULL UNIQUE,
  role INTEGER NOT NULL DEFAULT 0,
  name TEXT NOT NULL DEFAULT ''
);
-- Our own: steps to undo (or, after the commit point, to finish) by operation, written before each step.
CREATE TABLE journal (
  operation TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  version INTEGER NOT NULL,
  step TEXT NOT NULL,
  created_at DATETIME NOT NULL,
  PRIMARY KEY (operation, sequence)
) WITHOUT ROWID;
