package rpc

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/descartes-tasks/descartes/schema"
)

// openRPC is a document of the OpenRPC specification, version 1.3.2.
type openRPC struct {
	OpenRPC string          `json:"openrpc"`
	Info    openRPCInfo     `json:"info"`
	Methods []openRPCMethod `json:"methods"`
}

type openRPCInfo struct {
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Version     string            `json:"version"`
	License     map[string]string `json:"license"`
}

type openRPCMethod struct {
	Name           string              `json:"name"`
	Summary        string              `json:"summary"`
	ParamStructure string              `json:"paramStructure"`
	Params         []contentDescriptor `json:"params"`
	Result         contentDescriptor   `json:"result"`
	Errors         []openRPCError      `json:"errors"`
}

type contentDescriptor struct {
	Name     string             `json:"name"`
	Required bool               `json:"required,omitempty"`
	Schema   *jsonschema.Schema `json:"schema"`
}

type openRPCError struct {
	Code    schema.Code `json:"code"`
	Message string      `json:"message"`
}

// commonErrors are those that a request of any method may be answered with.
var commonErrors = []schema.Code{schema.CodeInvalidParams, schema.CodeInternal, schema.CodeLimitExceeded, schema.CodeStorageUnavailable}

// reasons names the codes as data.reason does.
var reasons = map[schema.Code]string{
	schema.CodeInvalidParams:      "invalid_params",
	schema.CodeInternal:           "internal",
	schema.CodeTaskNotFound:       "task_not_found",
	schema.CodeVersionConflict:    "version_conflict",
	schema.CodeTaskExists:         "task_exists",
	schema.CodeDependencyInvalid:  "dependency_invalid",
	schema.CodeCursorExpired:      "cursor_expired",
	schema.CodeLimitExceeded:      "limit_exceeded",
	schema.CodeForbidden:          "forbidden",
	schema.CodeShuttingDown:       "shutting_down",
	schema.CodeStorageUnavailable: "storage_unavailable",
	schema.CodeLeaseLost:          "lease_lost",
	schema.CodeOutcomeUnknown:     "outcome_unknown",
	schema.CodeMethodNotFound:     "needs_websocket",
}

// discoverDocument describes the methods of the table. What the types cannot say
// is a mistake in them: it panics.
func discoverDocument(table []method, version string) []byte {
	doc := openRPC{
		OpenRPC: "1.3.2",
		Info: openRPCInfo{
			Title: "Descartes", Version: version,
			Description: "Tasks, and every change of them. Connect a WebSocket to /rpc, or POST to it. Events of a subscription " +
				"are notifications " + schema.NotifyEvent + " and " + schema.NotifyEvents + ".",
			License: map[string]string{"name": "MIT"},
		},
	}
	for i := range table {
		doc.Methods = append(doc.Methods, describe(&table[i]))
	}
	document, err := schema.Encode(doc)
	if err != nil {
		panic(fmt.Sprintf("rpc: encode the OpenRPC document: %v", err))
	}
	return document
}

func describe(m *method) openRPCMethod {
	codes := slices.Concat(m.errors, commonErrors)
	if m.write != nil {
		codes = append(codes, schema.CodeForbidden, schema.CodeShuttingDown, schema.CodeOutcomeUnknown)
	}
	if m.needsWebSocket {
		codes = append(codes, schema.CodeMethodNotFound)
	}
	d := openRPCMethod{
		Name: m.name, Summary: m.summary, ParamStructure: "either",
		Params: describeParams(m.params),
		Result: contentDescriptor{Name: "result", Schema: schemaOf(reflect.TypeOf(m.result))},
	}
	for _, code := range codes {
		d.Errors = append(d.Errors, openRPCError{code, reasons[code]})
	}
	return d
}

// describeParams gives the parameters in their order by position.
func describeParams(params any) []contentDescriptor {
	descriptors := []contentDescriptor{}
	object := schemaOf(reflect.TypeOf(params))
	for _, name := range schema.ParamNames(params) {
		descriptors = append(descriptors, contentDescriptor{
			Name: name, Required: slices.Contains(object.Required, name), Schema: object.Properties[name],
		})
	}
	return descriptors
}
