package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/schema"
	"github.com/descartes-tasks/descartes/storage"
)

func tokenCommand() *cli.Command {
	sub := func(name, usage, args, description string, action cli.ActionFunc, flags ...cli.Flag) *cli.Command {
		return &cli.Command{
			Name: name, Usage: usage, ArgsUsage: args, Description: description,
			Flags: append([]cli.Flag{dbFlag()}, flags...), OnUsageError: onUsageError, Action: failing(action),
		}
	}
	return &cli.Command{
		Name:  "token",
		Usage: "say who may come in",
		Description: "Daemons that serve the file ask for a token as soon as there is one, a revoked one too; those that other\n" +
			"machines can reach always do. They need not be told of a change: connections that may not stay are closed\n" +
			"within 3 seconds.",
		OnUsageError: onUsageError,
		Action:       needsCommand,
		Commands: []*cli.Command{
			sub("add", "make a token and print it", "NAME",
				"The token is printed alone, on standard output, this once: the file holds its hash only. NAME is who has it,\n"+
					"and becomes the actor of what they change: 1 to 64 letters, digits and . _ @ -. With --hash none is made: the\n"+
					"token of another file, as that of another daemon of a cluster, opens this one, too.", addToken,
				&cli.StringFlag{Name: "scope", Value: string(schema.ScopeRead), Usage: "what it lets its holder do, `read` or write"},
				&cli.StringFlag{Name: "hash", Usage: "the SHA-256 of a token that there is, `HEX`, as \"token list --hashes\" shows it"}),
			sub("list", "list the tokens", "", "", listTokens, &cli.BoolFlag{Name: "json", Usage: "as JSON"},
				&cli.BoolFlag{Name: "hashes", Usage: "with the SHA-256 of each, by which \"token add --hash\" adds it to another file"}),
			sub("revoke", "shut out who has a token", "NAME…",
				"Several names are revoked together, or none of them.", revokeTokens),
			sub("remove", "forget revoked tokens, so that their names can be used again", "NAME…",
				"Where the last one is removed, daemons on loopback ask for no token any more.", removeTokens),
		},
	}
}

func addToken(ctx context.Context, cmd *cli.Command) (err error) {
	if !cmd.Args().Present() {
		return usageError("say who the token is for: descartes token add NAME")
	}
	if cmd.NArg() != 1 {
		return usageError("token add takes one name, but got %q", cmd.Args().Slice())
	}
	secret, token, err := tokenOf(cmd)
	if err != nil {
		return err
	}
	file, err := storage.OpenTokens(ctx, cmd.String("db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	switch err := file.Add(ctx, token); {
	case errors.Is(err, storage.ErrTokenRevoked):
		return fmt.Errorf("there was a token %s, which is revoked: \"descartes token remove %[1]s\" makes its name free", token.Name)
	case errors.Is(err, storage.ErrTokenExists):
		return fmt.Errorf("there is already a token %s: choose another name, or revoke and remove it", token.Name)
	case err != nil:
		return err
	}
	may := "read only; --scope write makes one that may write"
	if token.Scope == schema.ScopeWrite {
		may = "read and write"
	}
	who := "This token is shown once. Whoever has it"
	if secret == "" {
		secret, who = "added "+token.Name, "Whoever has the token"
	}
	fmt.Fprintf(cmd.Root().ErrWriter, "%s is %s in %s and may %s.\n", who, token.Name, cmd.String("db"), may)
	_, err = fmt.Fprintln(cmd.Root().Writer, secret)
	return err
}

// tokenOf makes the token that is to be added; the secret is "" if there is one already,
// of which --hash gives the hash.
func tokenOf(cmd *cli.Command) (secret string, t schema.Token, err error) {
	t = schema.Token{Name: cmd.Args().First(), Scope: schema.Scope(cmd.String("scope")), CreatedAt: time.Now().UnixMilli()}
	if err := t.Validate(); err != nil {
		return "", t, usageError("token add: %w", err)
	}
	if cmd.IsSet("hash") {
		t.Hash, err = parseHash(cmd.String("hash"))
		return "", t, err
	}
	secret = schema.NewToken()
	t.Hash = schema.HashToken(secret)
	return secret, t, nil
}

// parseHash reads the hash of a token. What was given is not repeated: it may be the
// token itself.
func parseHash(given string) (hash schema.TokenHash, err error) {
	decoded, err := hex.DecodeString(given)
	if err != nil || len(decoded) != len(hash) {
		return hash, usageError("--hash must be 64 hexadecimal digits, the SHA-256 of a token: \"descartes token list --hashes\" shows it")
	}
	return schema.TokenHash(decoded), nil
}

func listTokens(ctx context.Context, cmd *cli.Command) error {
	if cmd.Args().Present() {
		return usageError("token list takes no argument, but got %q", cmd.Args().First())
	}
	var tokens []schema.Token
	err := onTokens(ctx, cmd, func(file *storage.TokenFile) (err error) {
		tokens, err = file.List(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if cmd.Bool("json") {
		return json.NewEncoder(cmd.Root().Writer).Encode(listed(tokens, cmd.Bool("hashes")))
	}
	table := tabwriter.NewWriter(cmd.Root().Writer, 0, 0, 2, ' ', 0)
	heading := "NAME\tSCOPE\tCREATED\tREVOKED"
	if cmd.Bool("hashes") {
		heading += "\tHASH"
	}
	fmt.Fprintln(table, heading)
	for _, t := range tokens {
		revoked := "-"
		if t.Revoked() {
			revoked = timeOf(t.RevokedAt)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s", t.Name, t.Scope, timeOf(t.CreatedAt), revoked)
		if cmd.Bool("hashes") {
			fmt.Fprintf(table, "\t%x", t.Hash)
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

// listedToken is a token as token list --json prints it.
type listedToken struct {
	schema.Token
	Hash string `json:"hash,omitempty"` // with --hashes
}

func listed(tokens []schema.Token, hashes bool) []listedToken {
	list := make([]listedToken, len(tokens))
	for i, t := range tokens {
		list[i].Token = t
		if hashes {
			list[i].Hash = hex.EncodeToString(t.Hash[:])
		}
	}
	return list
}

func timeOf(milliseconds int64) string { return time.UnixMilli(milliseconds).Format(time.DateTime) }

func revokeTokens(ctx context.Context, cmd *cli.Command) error {
	return eachToken(ctx, cmd, "revoked", func(file *storage.TokenFile, names []string) error {
		return file.Revoke(ctx, time.Now().UnixMilli(), names...)
	})
}

func removeTokens(ctx context.Context, cmd *cli.Command) error {
	return eachToken(ctx, cmd, "removed", func(file *storage.TokenFile, names []string) error {
		err := file.Remove(ctx, names...)
		if errors.Is(err, storage.ErrTokenInUse) {
			return fmt.Errorf("%w: revoke it first", err)
		}
		return err
	})
}

// eachToken does something to the tokens that are named, all or none, and says what.
func eachToken(ctx context.Context, cmd *cli.Command, done string, do func(file *storage.TokenFile, names []string) error) error {
	names := cmd.Args().Slice()
	if len(names) == 0 {
		return usageError("say whose: descartes token %s NAME…; \"descartes token list\" shows the names", cmd.Name)
	}
	if err := onTokens(ctx, cmd, func(file *storage.TokenFile) error { return do(file, names) }); err != nil {
		return err
	}
	for _, name := range names {
		if _, err := fmt.Fprintf(cmd.Root().Writer, "%s %s\n", done, name); err != nil {
			return err
		}
	}
	return nil
}

// onTokens opens the file, which must be there: a wrong --db shall not look like a
// file without tokens.
func onTokens(ctx context.Context, cmd *cli.Command, do func(*storage.TokenFile) error) (err error) {
	if _, err := os.Stat(cmd.String("db")); err != nil {
		return databaseError(cmd, err)
	}
	file, err := storage.OpenTokens(ctx, cmd.String("db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return do(file)
}
