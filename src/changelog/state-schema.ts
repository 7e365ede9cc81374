/** Goes up with each change below: a cache of another version is made anew, and a log of another one is refused. */
export const SCHEMA_VERSION = '3';

/** Tables with long rows have a rowid: new rows go to their end, and only short keys to random places. */
export const SCHEMA = `
  CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS identity (
    guid TEXT NOT NULL PRIMARY KEY, sequence INTEGER NOT NULL, name TEXT, value TEXT, origins TEXT
  ) STRICT;
  CREATE INDEX IF NOT EXISTS identity_name ON identity (name, sequence);
  CREATE TABLE IF NOT EXISTS released (
    name TEXT NOT NULL, guid TEXT NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (name, guid)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS position (naming_context TEXT PRIMARY KEY, time TEXT NOT NULL, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS request (
    kind TEXT NOT NULL, naming_context TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, naming_context)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS repair (
    organization TEXT NOT NULL, systemuserid TEXT NOT NULL, open INTEGER NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (organization, systemuserid)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS link (
    organization TEXT NOT NULL, guid TEXT NOT NULL, systemuserid TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (organization, guid)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS repair_request (
    organization TEXT NOT NULL, systemuserid TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (organization, systemuserid)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS repair_answer (
    organization TEXT NOT NULL, systemuserid TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (organization, systemuserid)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS link_systemuser ON link (organization, systemuserid);
`;
