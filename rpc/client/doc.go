// Package client lets other Go programs use a Descartes daemon. It imports the
// vocabulary of package schema and the wire, so it links no database.
//
// A [Client] is one connection for calls. An error answer of the daemon is a
// *schema.Error: errors.Is compares its code, as in
// errors.Is(err, schema.CodeTaskNotFound), and errors.AsType gives its data. Any
// other error says that there was no answer: [ErrUnreachable], [ErrUntrusted],
// [*RefusedError], [ErrDisconnected], [ErrUnauthorized], [ErrClosed], or that of the
// context.
//
// A [Subscription] has a connection of its own. A consumer that is slow, or that
// makes calls between two events, therefore holds up nobody, itself included: its
// subscription reads a bounded number of messages ahead and then stops reading,
// the daemon stops sending, and the events wait in the journal. None is ever
// dropped. The price: the events of changes made through the Client are not marked
// as the connection's own.
//
// A [View] is made of a Subscription: it always shows the present tasks, all or those
// that match a filter, and tells what changes.
//
// With [Options.Reconnect] a lost connection is made again: by the next call, and
// by a Subscription whenever it has to read on. The Subscription continues after
// its last cursor and leaves out what the daemon repeats, so its consumer sees
// every event once and the events of each task in order. When that cannot be done
// and a snapshot was asked for, the consumer gets an event of type schema.Resync,
// which says that what it knows of the tasks is out of date, and then a new
// snapshot; otherwise the Subscription ends with the daemon's error. It ends, too,
// when the daemon wants another token (401, or the token was revoked), forbids the
// connection (403), or has no certificate that can be trusted: trying on would not
// help. A daemon that is full (503) is tried again.
//
// Without Reconnect the loss of the connection ends a Subscription and every later
// call with ErrDisconnected. A call that was under way then may have been made;
// repeating it is safe with an id of one's own or with an expected version.
package client
