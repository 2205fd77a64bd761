package schema

import "embed"

// Migrations holds the numbered SQL files that make a database file: sql/0001.sql
// makes an empty file version 1, and so on. Each is applied in one transaction
// with the raise of user_version to its number. A file that was ever released is
// never changed.
//
//go:embed sql/*.sql
var Migrations embed.FS

// ApplicationID is the application_id of a database file (SQLite file format,
// section 1.3.16): the bytes "Dcrt".
const ApplicationID = 0x44637274
