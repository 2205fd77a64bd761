package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/rpc/client"
)

func boardCommand() *cli.Command {
	return &cli.Command{
		Name:  "board",
		Usage: "open the board in the browser",
		Description: "Prints the address of the board and opens it: with the program that BROWSER names, or as the system does it.\n" +
			"Where tokens are on, the page asks for one; it is never a part of the address.",
		Flags:        append(clientFlags(), &cli.BoolFlag{Name: "print", Usage: "print the address alone"}),
		OnUsageError: onUsageError,
		Action:       withoutArguments(failing(board)),
	}
}

func board(ctx context.Context, cmd *cli.Command) error {
	c, err := dialDaemon(ctx, cmd, client.Options{})
	if err != nil && !errors.Is(err, client.ErrUnauthorized) { // the page will ask
		return dialError(cmd, err)
	}
	daemon, _, _ := strings.Cut(cmd.String("url"), ",")
	if c != nil {
		daemon = c.URL()
		defer c.Close()
	}
	page, err := boardURL(daemon)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(cmd.Root().Writer, page); err != nil || cmd.Bool("print") {
		return err
	}
	if err := browse(ctx, page); err != nil {
		return fmt.Errorf("no browser could be started (%w): open the address yourself, or name one in BROWSER", err)
	}
	return nil
}

// boardURL gives the address of the page of the daemon at a WebSocket URL.
func boardURL(daemon string) (string, error) {
	u, err := url.Parse(daemon)
	if err != nil {
		return "", usageError("--url: %w", err)
	}
	switch u.Scheme {
	case "ws", "http":
		u.Scheme = "http"
	case "wss", "https":
		u.Scheme = "https"
	default:
		return "", usageError("a browser cannot open the Unix socket %s: name the address that \"descartes serve\" listens on, as in --url %s", daemon, client.DefaultURL)
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimSuffix(u.Path, "rpc")}).String(), nil
}

// browse opens an address: BROWSER may name several programs, the first of which that
// is there is meant, each with arguments; %s among these is where the address goes.
func browse(ctx context.Context, address string) error {
	programs := strings.FieldsFunc(os.Getenv("BROWSER"), func(r rune) bool { return r == os.PathListSeparator })
	if len(programs) == 0 {
		programs = []string{systemBrowser()}
	}
	var failed error
	for _, program := range programs {
		words := strings.Fields(program)
		if len(words) == 0 {
			continue
		}
		if !strings.Contains(program, "%s") {
			words = append(words, "%s")
		}
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "%s", address)
		}
		open := exec.Command(words[0], words[1:]...) // ctx would end a browser, too
		if failed = open.Start(); failed == nil {
			return awaitStart(ctx, open)
		}
	}
	return failed
}

func systemBrowser() string {
	switch runtime.GOOS {
	case "darwin":
		return "open"
	case "windows":
		return "rundll32 url.dll,FileProtocolHandler"
	}
	return "xdg-open"
}

// startTime is how long a program that opens a browser has to say that it cannot. One
// that runs on is the browser itself.
const startTime = 2 * time.Second

func awaitStart(ctx context.Context, open *exec.Cmd) error {
	ended := make(chan error, 1)
	go func() { ended <- open.Wait() }() // until the browser ends, or this process
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	case <-time.After(startTime):
	}
	return nil
}
