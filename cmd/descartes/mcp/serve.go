package mcp

import (
	"context"
	"fmt"
	"sync"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// Options configures Serve. Only Dial is required.
type Options struct {
	// Dial connects to the daemon, with client.Options.Reconnect. It is called when
	// the daemon is first needed, and again until it has succeeded once.
	Dial func(context.Context) (*client.Client, error)

	Name     string        // who claims; default what the agent calls itself, else "mcp"
	Lease    time.Duration // of a claim, 1 s to 24 h; default 60 s
	Patience time.Duration // how long a call waits for a daemon that is away; default 10 s
	Version  string        // of this program, told to the agent; default none
	Warn     func(string)  // told what the agent is not told; default nobody
}

func (o Options) withDefaults() Options {
	if o.Lease <= 0 {
		o.Lease = schema.DefaultLeaseMS * time.Millisecond
	}
	if o.Patience <= 0 {
		o.Patience = 10 * time.Second
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	return o
}

// releasePatience bounds how long the end of a session waits for the daemon to take
// back its claims. Agent hosts wait for 5 s before they use force.
const releasePatience = 3 * time.Second

// session is one agent's.
type session struct {
	options Options
	life    context.Context // ends when the agent is gone or Serve has to end
	daemon  *daemon
	claims  *claims
	watch   *watch

	mu    sync.Mutex
	agent string // what the agent calls itself
}

// Serve serves one session until the agent closes it, then gives nil, or until ctx
// ends, then gives its error. A daemon that is away is waited for by the calls that
// need it; any other error of Dial is returned at once. Before Serve returns, the
// session's claims are released and its connections closed; that takes a few seconds
// at most.
func Serve(ctx context.Context, transport sdk.Transport, options Options) error {
	s := &session{options: options.withDefaults()}
	life, end := context.WithCancel(ctx)
	defer end()
	s.life = life
	s.daemon = newDaemon(s.options)
	defer s.daemon.close()
	if _, err := s.daemon.connection(ctx); wasNotMade(err) {
		s.options.Warn(brief(err) + "; trying again when it is needed")
	} else if err != nil {
		return err
	}
	s.claims = newClaims(life, s.daemon, s.options)
	server := sdk.NewServer(
		&sdk.Implementation{Name: "descartes", Title: "Descartes tasks", Version: s.options.Version},
		&sdk.ServerOptions{
			Instructions: instructions,
			Capabilities: &sdk.ServerCapabilities{
				Tools:     &sdk.ToolCapabilities{},
				Resources: &sdk.ResourceCapabilities{Subscribe: true},
			},
			SubscribeHandler:   s.subscribe,
			UnsubscribeHandler: s.unsubscribe,
		})
	s.watch = newWatch(life, s.daemon, s.options, func(ctx context.Context, uri string) error {
		return server.ResourceUpdated(ctx, &sdk.ResourceUpdatedNotificationParams{URI: uri})
	})
	for _, t := range tools() {
		server.AddTool(t.describe(), s.handler(t))
	}
	s.addResources(server)

	err := server.Run(life, transport)
	end()
	s.watch.wait()
	s.claims.releaseAll()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("serve the agent: %w", err)
	}
	return nil
}

// handler makes of a tool what the SDK calls. An error of the tool is its result.
func (s *session) handler(t tool) sdk.ToolHandler {
	return func(ctx context.Context, request *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.life, cancel)()
		s.meet(request.ClientInfo())
		return t.call(ctx, s, request.Params.Arguments), nil
	}
}

// meet remembers what the agent calls itself.
func (s *session) meet(agent *sdk.Implementation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if agent != nil && s.agent == "" {
		s.agent = agent.Name
	}
}

// name is who claims.
func (s *session) name() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := s.options.Name
	if name == "" {
		name = s.agent
	}
	if name == "" {
		name = "mcp"
	}
	if runes := []rune(name); len(runes) > schema.MaxAssignedTo {
		name = string(runes[:schema.MaxAssignedTo])
	}
	return name
}

// instructions are for the model, once, at the start of a session.
const instructions = `Descartes keeps tasks that several agents and people share. A task is ready when it is todo, everything that it depends on is done, and nobody has claimed it.

To plan: create_tasks, all steps in one call, with dependencies between them.
To work: repeat claim_task -> do the work -> finish_task with a short result. claim_task gives you the most urgent ready task and keeps everybody else off it; give it wait_seconds to wait until one is ready. The claim is kept alive for you until you finish, release, or the session ends; there is no token to remember.
If you cannot go on with a task: update_task with status blocked, or release_task so that somebody else can take it.
When a tool says that your claim is lost, stop the work on that task: somebody else may be doing it. Never finish a task that you have not claimed.
The results of the tasks that yours depends on are in their metadata.result: see them with get_task.`
