// Package rpc speaks JSON-RPC 2.0 with clients: over WebSocket connections, POST
// requests and a Unix socket, on one HTTP handler.
//
// A [Server] owns the listeners and the sessions. A session is one connection: it
// takes requests in the order in which they arrive, submits writes to the emitter
// at once and runs everything else when the writes before it are answered. So
// writes can be pipelined, a connection always reads its own writes, and one slow
// connection is nobody else's business. Methods are a table of functions
// (methods.go); the OpenRPC document is made of the same table.
//
// The room knows tasks only as JSON documents, the emitter as the door for writes
// and subscriptions, and storage as the Store that answers queries.
package rpc
