package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// connection is the category of clientFlags in help and manual.
const connection = "The connection"

// clientFlags are those of every command that talks to a daemon.
func clientFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "url", Value: client.DefaultURL, Usage: "connect to the daemon at `URL` (ws://, wss:// or ws+unix:///path); of several, with commas between them, to the first that answers, and to the next when it is lost", Category: connection, Sources: environment("url")},
		&cli.StringFlag{Name: "token", Usage: "authenticate with `TOKEN`; in DESCARTES_TOKEN nobody else on the machine can see it", Category: connection, Sources: environment("token")},
		&cli.StringFlag{Name: "tls-ca", Usage: "trust the authorities in `FILE` (PEM) instead of the system's", Category: connection, Sources: environment("tls-ca")},
	}
}

// dial connects to the daemon that the flags name. Its errors say what to do.
func dial(ctx context.Context, cmd *cli.Command, options client.Options) (*client.Client, error) {
	c, err := dialDaemon(ctx, cmd, options)
	if err != nil {
		return nil, dialError(cmd, err)
	}
	return c, nil
}

// dialDaemon is dial with the errors of the client.
func dialDaemon(ctx context.Context, cmd *cli.Command, options client.Options) (*client.Client, error) {
	secure, err := clientTLS(cmd.String("tls-ca"))
	if err != nil {
		return nil, usageError("%w", err)
	}
	options.Token, options.TLS = cmd.String("token"), secure
	options.Reconnect = options.Reconnect || hasSeveral(cmd)
	c, err := client.Dial(ctx, cmd.String("url"), options)
	if _, refused := errors.AsType[*client.RefusedError](err); err == nil || refused || ctx.Err() != nil ||
		client.IsTemporary(err) || errors.Is(err, client.ErrUntrusted) {
		return c, err
	}
	return nil, usageError("%w", err) // the URL or the token: nothing was tried
}

// hasSeveral tells whether several daemons are named, so that there is another one to go
// on at.
func hasSeveral(cmd *cli.Command) bool { return strings.Contains(cmd.String("url"), ",") }

func callCommand() *cli.Command {
	return &cli.Command{
		Name:         "call",
		Usage:        "make one request and print its result",
		ArgsUsage:    "METHOD [PARAMS-JSON | -]",
		Description:  "PARAMS-JSON is an object or an array; - reads it from standard input. The exit code is 1 if the answer is an error.",
		Flags:        append(clientFlags(), jsonFlag()),
		OnUsageError: onUsageError,
		Action:       failing(call),
	}
}

func call(ctx context.Context, cmd *cli.Command) error {
	if n := cmd.Args().Len(); n < 1 || n > 2 {
		return usageError("call takes a method and perhaps its params as JSON: descartes call task.get '{\"id\":\"…\"}'")
	}
	params, err := readParams(cmd)
	if err != nil {
		return err
	}
	c, err := dial(ctx, cmd, client.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	if text, ok := params.(json.RawMessage); ok {
		if err := fits(ctx, c, text); err != nil {
			return answerError(cmd, err)
		}
	}
	var result json.RawMessage
	method := cmd.Args().First()
	if err := c.Call(ctx, method, params, &result); err != nil {
		if answer, ok := errors.AsType[*schema.Error](err); ok && answer.Code == schema.CodeMethodNotFound {
			answer.Message += schema.DidYouMean(method, schema.Methods())
		}
		return answerError(cmd, err)
	}
	return printResult(cmd, result)
}

// printResult prints what the daemon answered, as it came; on a terminal indented, unless
// --json asks for a line.
func printResult(cmd *cli.Command, result json.RawMessage) error {
	if isTerminal(cmd.Root().Writer) && !cmd.Bool("json") {
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, result, "", "  "); err == nil {
			result = pretty.Bytes()
		}
	}
	return printJSON(cmd.Root().Writer, result)
}

// readParams gives the params as they are to be sent, nil for none.
func readParams(cmd *cli.Command) (any, error) {
	text := []byte(cmd.Args().Get(1))
	if string(text) == "-" {
		var err error
		if text, err = io.ReadAll(cmd.Root().Reader); err != nil {
			return nil, err
		}
	}
	text = bytes.TrimSpace(text)
	switch {
	case len(text) == 0:
		return nil, nil
	case !json.Valid(text) || text[0] != '{' && text[0] != '[':
		return nil, usageError("the params must be a JSON object or array, not %s", text)
	}
	return json.RawMessage(text), nil
}

// dialError says what to do when there is no connection.
func dialError(cmd *cli.Command, err error) error {
	url := cmd.String("url")
	switch {
	case errors.Is(err, client.ErrUntrusted):
		return fmt.Errorf("%v: name the authority that signed it with --tls-ca", err)
	case errors.Is(err, client.ErrUnauthorized) && cmd.String("token") == "":
		return fmt.Errorf("the daemon at %s wants a token: give one with --token or DESCARTES_TOKEN; \"descartes token add NAME\" makes one", url)
	case errors.Is(err, client.ErrUnauthorized):
		return fmt.Errorf("the daemon at %s does not accept this token: it is wrong, or was revoked", url)
	case errors.Is(err, client.ErrDisconnected):
		return fmt.Errorf("%w: what was under way may have been done or not; look, then try again", err)
	case errors.Is(err, client.ErrUnreachable):
		return fmt.Errorf("no daemon answers at %s%s: start one with \"descartes serve\", or name it with --url", url, because(err))
	}
	return err
}

// because tells in brackets why a daemon cannot be reached.
func because(err error) string {
	switch cause, ok := errors.AsType[*net.OpError](err); {
	case ok:
		return " (" + cause.Err.Error() + ")"
	case errors.Is(err, http.ErrSchemeMismatch):
		return " (it speaks no TLS: write ws://)"
	case errors.Is(err, context.DeadlineExceeded):
		return " (it does not answer in time)"
	}
	_, why, _ := strings.Cut(err.Error(), ": ")
	return " (" + why + ")"
}

// answerError tells an error answer in one line that scripts can take apart: code,
// reason, sentence, and the data as JSON. Any other error is that of a connection.
func answerError(cmd *cli.Command, err error) error {
	answer, ok := errors.AsType[*schema.Error](err)
	if !ok {
		return dialError(cmd, err)
	}
	data, err := json.Marshal(answer.Data)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.Root().ErrWriter, "error %d %s: %s %s\n", answer.Code, answer.Data.Reason, strings.Map(printable, answer.Message), data)
	return &exitError{code: exitFailed}
}
