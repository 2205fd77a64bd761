// Package clients tests that JSON-RPC clients which know nothing of Descartes can use it,
// unmodified: those of Go as modules, those of JavaScript by the .mjs scripts beside it.
// It is a module of its own, so that what they need is not what Descartes needs.
//
// What docs/clients.md shows of each is the code between the marks "docs" and "end".
package clients
