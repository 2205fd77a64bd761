package storage

import (
	"database/sql"
	"reflect"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// setTriggers says whether a connection makes its changes with the triggers of the file
// (SQLITE_DBCONFIG_ENABLE_TRIGGER, https://sqlite.org/c3ref/c_dbconfig_defensive.html).
// The writer's does not. They journal what other processes do, and do nothing while journal_state.writer says
// that the daemon writes, but a statement that could run one copies each page before it
// changes it: a quarter of the processor time of a create.
//
// The driver cannot be asked for it, so SQLite is, with the handles that the driver's
// connection holds. Should a later one have them elsewhere, the triggers stay on, which
// costs time and changes nothing.
func setTriggers(on *sql.Conn, enabled int32) error {
	return on.Raw(func(c any) error {
		handles := reflect.Indirect(reflect.ValueOf(c))
		if handles.Kind() != reflect.Struct {
			return nil
		}
		thread, database := handles.FieldByName("tls"), handles.FieldByName("db")
		if !thread.IsValid() || thread.Type() != reflect.TypeFor[*libc.TLS]() || !database.IsValid() || database.Kind() != reflect.Uintptr {
			return nil
		}
		tls := (*libc.TLS)(thread.UnsafePointer())
		const arguments = 2 * 8 // an int and a pointer, of eight bytes each
		list := tls.Alloc(arguments)
		defer tls.Free(arguments)
		sqlite3.Xsqlite3_db_config(tls, uintptr(database.Uint()), sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER,
			libc.VaList(list, enabled, uintptr(0)))
		return nil
	})
}
