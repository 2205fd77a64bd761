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
// [Dial] takes several URLs, of daemons with one journal: those of a cluster, or on one
// file. A cursor of one is good on every other. On loss the next one continues, at
// once: there is a pause only when a whole round has failed. What is closed, refused
// (401, 503) or answered with CodeShuttingDown is passed over at once, a daemon that
// does not answer a handshake after [Options.DialTimeout], 2 s, and one that falls
// silent after [Options.Silence], 10 s, and up to a second more. A daemon that refuses
// the cursor, as it has pruned more, or is behind, is passed over, too: the Subscription
// starts over or ends only when no daemon continues it; those that do not answer are
// waited for through five pauses, about 3 s, unless one that is behind has waited
// already. A daemon with another journal is not of the cluster: it is not used
// ([ErrOtherJournal]), except by a Subscription that finds nothing else, and says so as
// for a restored database: by a schema.Resync with the reason "epoch", or by its end.
//
// Calls go on to the next daemon, too: what only reads when its connection is lost, and
// everything when the answer was CodeShuttingDown. A write whose connection is lost is
// never repeated: see ErrDisconnected. In a cluster there is a second answer of which
// nobody knows what it means: schema.CodeOutcomeUnknown, where the daemon does not know.
//
// Without Reconnect the loss of the connection ends a Subscription and every later
// call with ErrDisconnected. A call that was under way then may have been made;
// repeating it is safe with an id of one's own or with an expected version.
package client
