// Package mcp lets agents that speak the Model Context Protocol work on the tasks
// of a Descartes daemon: [Serve] is one session of one such agent. It is a client of
// the daemon like any other and adds nothing that the daemon does not know.
//
// # Tools
//
// Arguments are read as strictly as the daemon reads params: a mistake is told with
// the field, the rule and what was probably meant. What goes wrong is the result of
// the tool (isError) and says what to do next; it is a protocol error only if there
// is no such tool. No text and no result ever has a lease token: the session keeps
// them, so that a model need not.
//
// # Claims
//
// What the session has claimed is renewed each time a third of the lease is over, for
// as long as the session lives and whatever the model does meanwhile. Changes of a
// claimed task carry the token of the claim: when the claim has ended, because
// somebody changed the status, deleted the task, or the lease ran out, the daemon
// refuses them. The session then remembers the loss and refuses every further change
// of that task with a sentence that says so, until it claims the task again or
// overrules explicitly. The daemon's word alone decides that a claim is lost, never a
// clock here.
//
// When the session ends (the agent closes the connection, the context ends), its
// claims are released: the tasks are todo again. A claim is not bound to the
// connection to the daemon, so that a restart of either daemon or network costs no
// work. The price: what a session had claimed that was killed, or whose daemon is
// away when it ends, goes back to todo only when the lease is over. The same holds
// for a claim that was still being made when the session ended.
//
// # Resources
//
// A task is descartes://task/ID; descartes://tasks and descartes://tasks/ready are
// lists. Whoever subscribes to one, then reads it, misses nothing: each later change
// is followed by notifications/resources/updated, over restarts of the daemon too.
// Changes in quick succession may share one notification, which then comes after the
// last of them. A deleted task is updated a last time; reading it is "not found". The
// list of resources itself never changes.
//
// # When the daemon is away
//
// A session begins without it. A call that was surely not made is made again for
// Options.Patience, then told as an error; the session goes on. A change whose answer
// was lost is not repeated but told, unless repeating it is safe.
package mcp
