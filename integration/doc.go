// Package integration tests the real binary: real sockets, real SQLite files, the
// sqlite3 shell and clients off the shelf. It imports what another program could
// import (rpc/client, schema), never the server's insides.
//
// A test that needs a tool that is not installed says so and is skipped; with
// CI=true it fails instead.
package integration
