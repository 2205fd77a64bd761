// Package schema is the vocabulary of Descartes: what data looks like, on the
// wire and on disk. Every other room imports it; it imports only the standard
// library.
//
// # The story on one page
//
// A [Task] is a card on a board. Nobody edits one: somebody asks for a [Change],
// and the daemon either makes it or says why not with an [Error]. A Change is
// complete before it is applied: its ids, its time and its actor are inside, so
// that applying the same changes in the same order gives the same rows on any
// machine.
//
// Each task that a change touches gives one [Event], written to the journal in
// the same transaction as the task itself. Its Seq is its place there: strictly
// increasing in commit order, without gaps, never reused, below 2^53. The
// version of a task is the Seq of the event that made its present state.
//
// A reader of the journal owns a [Cursor]: the epoch of the journal and a Seq.
// "Everything up to here has been delivered to me" is all that it has to
// remember. What it wants to see of the journal is a [Filter].
//
// # Words on the wire
//
// The methods, their parameters and their results are in method.go; the codes
// of errors in error.go. [Decode] reads parameters strictly: a member that is
// not known, a type that does not fit, a value outside its limits is refused
// with the name of the field and the rule that it breaks. Times are Unix
// milliseconds, lengths of text are characters (code points) where it says so
// and bytes of UTF-8 elsewhere.
//
// # Words on disk
//
// [Migrations] are the numbered SQL files under sql/. The first one is the
// commented description of the file that other processes may write to.
package schema
