package mcp

import (
	"context"
	"errors"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/descartes-tasks/descartes/schema"
)

// The addresses of resources. Ids need no escaping in a URI.
const (
	allURI     = "descartes://tasks"
	readyURI   = "descartes://tasks/ready"
	taskPrefix = "descartes://task/"
	jsonType   = "application/json"
)

// addResources tells the agent what can be read and watched.
func (s *session) addResources(server *sdk.Server) {
	server.AddResource(&sdk.Resource{
		URI: allURI, Name: "tasks", Title: "All tasks", MIMEType: jsonType,
		Description: "The 200 tasks that changed last, without descriptions and metadata; each can be read as descartes://task/ID",
	}, s.resource)
	server.AddResource(&sdk.Resource{
		URI: readyURI, Name: "ready", Title: "Ready tasks", MIMEType: jsonType,
		Description: "The 200 most urgent tasks that can be claimed now, without descriptions and metadata",
	}, s.resource)
	server.AddResourceTemplate(&sdk.ResourceTemplate{
		URITemplate: taskPrefix + "{+id}", Name: "task", Title: "A task", MIMEType: jsonType,
		Description: "One task with everything about it",
	}, s.resource)
}

// resource reads any of them.
func (s *session) resource(ctx context.Context, request *sdk.ReadResourceRequest) (*sdk.ReadResourceResult, error) {
	value, err := s.lookUp(ctx, request.Params.URI)
	if err != nil {
		return nil, err
	}
	document, err := encode(value)
	if err != nil {
		return nil, err
	}
	return &sdk.ReadResourceResult{Contents: []*sdk.ResourceContents{{
		URI: request.Params.URI, MIMEType: jsonType, Text: string(document),
	}}}, nil
}

// lookUp gives what is at an address. The error is one of the protocol.
func (s *session) lookUp(ctx context.Context, uri string) (any, error) {
	value, err := s.lookUpTask(ctx, uri)
	if schema.CodeOf(err) == schema.CodeTaskNotFound || schema.CodeOf(err) == schema.CodeInvalidParams {
		return nil, sdk.ResourceNotFoundError(uri)
	}
	if err != nil {
		return nil, errors.New(s.explain(err))
	}
	return value, nil
}

func (s *session) lookUpTask(ctx context.Context, uri string) (any, error) {
	params := schema.ListParams{Limit: new(int64(maxPage))}
	switch id, isTask := strings.CutPrefix(uri, taskPrefix); {
	case isTask:
		return s.get(ctx, id)
	case uri == allURI:
		params.Order = new("-" + schema.ByUpdatedAt)
	case uri == readyURI:
		params.Filter, params.Order = &schema.Filter{Ready: new(true)}, new("-"+schema.ByPriority)
	default:
		return nil, schema.NotFound(uri)
	}
	p, err := s.list(ctx, params)
	if err != nil {
		return nil, err
	}
	return &page{Tasks: p.Tasks}, nil // page tokens are for tools
}

// subscribe is called before the agent is told that it is subscribed: every change
// from then on is notified.
func (s *session) subscribe(ctx context.Context, request *sdk.SubscribeRequest) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	if _, err := s.lookUp(ctx, request.Params.URI); err != nil {
		return err
	}
	if err := s.watch.add(ctx, request.Params.URI); err != nil {
		return errors.New(s.explain(err))
	}
	return nil
}

func (s *session) unsubscribe(_ context.Context, request *sdk.UnsubscribeRequest) error {
	s.watch.remove(request.Params.URI)
	return nil
}
