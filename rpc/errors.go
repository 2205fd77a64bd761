package rpc

import (
	"encoding/json"
	"errors"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

// wireError gives what the caller is told of err: a *schema.Error as it is,
// anything else as an internal error that shows nothing of the inside.
func wireError(err error) *wire.Error {
	coded, ok := errorOf(err)
	if !ok {
		coded = schema.Internal()
	}
	data, err := json.Marshal(coded.Data)
	if err != nil {
		data = nil // cannot happen: the data is made of strings, numbers and valid JSON
	}
	return &wire.Error{Code: int(coded.Code), Message: coded.Message, Data: data}
}

// errorOf gives what is in err for the caller to read.
func errorOf(err error) (coded *schema.Error, ok bool) { return errors.AsType[*schema.Error](err) }

// methodNotFound has the message that the specification's examples have.
func methodNotFound() *schema.Error {
	return &schema.Error{
		Code: schema.CodeMethodNotFound, Message: "Method not found",
		Data: schema.ErrorData{Reason: "method_not_found"},
	}
}

func needsWebSocket(name string) *schema.Error {
	return &schema.Error{
		Code: schema.CodeMethodNotFound, Message: name + " needs a WebSocket connection",
		Data: schema.ErrorData{Reason: "needs_websocket"},
	}
}

// recovered makes an error of a panic in a method: the caller's internal error and
// the log's business; the connection lives on.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = wire.Recovered(p)
	}
}
