// Package wire is everything between a socket and a method: WebSocket frames,
// the JSON-RPC 2.0 envelope, and batches. It knows no method and no task.
//
// Three layers, each usable without the one above it:
//
//   - [ParseFrame] turns the bytes of one message into [Request] values and
//     never fails: what is malformed becomes a Request whose answer is already
//     decided. [Request.Answer] turns a result into the bytes to send, and
//     gathers the answers of a batch into one array. An HTTP POST needs no more.
//   - [Conn] is one WebSocket (RFC 6455), either end. Many goroutines may write;
//     one reads. A Write carries any number of messages in few socket writes.
//     Pings, pongs and the close handshake are the package's own business.
//   - [Conn.Serve] and [Conn.Client] run a Conn as a JSON-RPC server or client on
//     sourcegraph/jsonrpc2. The library is the connection loop; it never sees the
//     bytes that clients send, because it closes the connection on much that
//     JSON-RPC 2.0 allows, and answers the id -1 with 18446744073709551615.
//
// Slow peers: a Write blocks while the peer takes nothing and gives up after
// Options.WriteTimeout, which ends that connection only. Reading is driven by the
// caller, so a caller that stops reading slows its peer through TCP; keep-alive
// never mistakes that for a dead peer.
//
// This is the only package that imports the WebSocket library. The library does
// the handshake, reads frames and answers control frames, but for the pings and pongs
// that come between two messages to a server (fill.go says why); data frames are written
// here (netconn.go says why and how the two share a socket).
package wire
