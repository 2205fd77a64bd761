package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"reflect"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/descartes-tasks/descartes/schema"
)

// tool is one line of the table of tools.
type tool struct {
	name, title, description string
	hints                    sdk.ToolAnnotations
	nullable                 []string // arguments for which null means something
	input, output            reflect.Type
	run                      func(ctx context.Context, s *session, arguments []byte) (result any, text string, err error)
}

// action does what a tool is for. It gives the result and a sentence about it.
type action[In, Out any] func(ctx context.Context, s *session, in *In) (*Out, string, error)

// define makes a tool whose arguments are an In and whose result is an Out.
func define[In, Out any](t tool, do action[In, Out]) tool {
	t.input, t.output = reflect.TypeFor[In](), reflect.TypeFor[Out]()
	t.run = func(ctx context.Context, s *session, arguments []byte) (any, string, error) {
		in := new(In)
		if err := decodeArguments(arguments, in, t.nullable); err != nil {
			return nil, "", err
		}
		return do(ctx, s, in)
	}
	return t
}

// decodeArguments reads arguments strictly. Models write null for what they leave
// out: where it means nothing else, that is what it means.
func decodeArguments(raw []byte, in any, nullable []string) error {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	if raw[0] != '{' {
		return schema.Invalid("arguments", "must be an object")
	}
	if nullable == nil {
		raw = dropNulls(raw)
	}
	return schema.Decode(raw, in)
}

// dropNulls leaves out the members of an object that are null, and those of the
// objects in its arrays.
func dropNulls(object []byte) []byte {
	kept := []byte{'{'}
	for m := range schema.Members(object) {
		if string(m.Value) == "null" {
			continue
		}
		if len(kept) > 1 {
			kept = append(kept, ',')
		}
		kept = append(schema.AppendString(kept, string(m.Name)), ':')
		if m.Value[0] != '[' {
			kept = append(kept, m.Value...)
			continue
		}
		var items [][]byte
		for item := range schema.Elements(m.Value) {
			if item[0] == '{' {
				item = dropNulls(item)
			}
			items = append(items, item)
		}
		kept = append(append(append(kept, '['), bytes.Join(items, []byte{','})...), ']')
	}
	return append(kept, '}')
}

// describe tells models what the tool is for and what it takes.
func (t *tool) describe() *sdk.Tool {
	hints := t.hints
	hints.Title, hints.OpenWorldHint = t.title, new(false)
	return &sdk.Tool{
		Name: t.name, Title: t.title, Description: t.description, Annotations: &hints,
		InputSchema: describeArguments(t.input, t.nullable), OutputSchema: describeResult(t.output),
	}
}

// call runs the tool. The result is there for programs, and as JSON once more for
// models whose host shows them only text, after a sentence that says what it means.
func (t *tool) call(ctx context.Context, s *session, arguments []byte) *sdk.CallToolResult {
	result, text, err := t.run(ctx, s, arguments)
	var document []byte
	if err == nil {
		document, err = encode(result)
	}
	if err != nil {
		return &sdk.CallToolResult{IsError: true, Content: []sdk.Content{&sdk.TextContent{Text: s.explain(err)}}}
	}
	return &sdk.CallToolResult{
		StructuredContent: json.RawMessage(document),
		Content:           []sdk.Content{&sdk.TextContent{Text: text}, &sdk.TextContent{Text: string(document)}},
	}
}

// encode is json.Marshal for readers that are no browsers.
func encode(value any) ([]byte, error) {
	var document bytes.Buffer
	encoder := json.NewEncoder(&document)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimSpace(document.Bytes()), err
}
