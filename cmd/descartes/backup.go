package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/urfave/cli/v3"

	"github.com/descartes-tasks/descartes/storage"
)

// dbFlag names the database that a command works on by itself, without a daemon.
func dbFlag() cli.Flag {
	return &cli.StringFlag{Name: "db", Value: "descartes.db", Usage: "the database `FILE`", Sources: environment("db")}
}

func backupCommand() *cli.Command {
	return &cli.Command{
		Name:      "backup",
		Usage:     "write a copy of the database, while daemons run",
		ArgsUsage: "FILE",
		Description: "FILE is a database in one piece, true at one moment, that only its owner can read. It appears when all of it is\n" +
			"on the disk and has been checked. It holds everything: the tokens (hashed), and what was deleted but not yet\n" +
			"overwritten. \"descartes restore\" makes a database of it.",
		Flags:        []cli.Flag{dbFlag(), &cli.BoolFlag{Name: "force", Usage: "replace FILE"}},
		OnUsageError: onUsageError,
		Action:       failing(backup),
	}
}

func backup(ctx context.Context, cmd *cli.Command) error {
	file, err := oneFile(cmd)
	if err != nil {
		return err
	}
	bar := newProgress(cmd.Root().ErrWriter, "copying")
	defer bar.close()
	written, err := storage.Backup(ctx, cmd.String("db"), file, cmd.Bool("force"), bar.show)
	if err != nil {
		return databaseError(cmd, err)
	}
	bar.close()
	_, err = fmt.Fprintf(cmd.Root().Writer, "%s: %s, seq %d, %d bytes\n", written.Path, count(written.Tasks, "task"), written.Seq, written.Bytes)
	return err
}

// databaseError says what to do when there is no database.
func databaseError(cmd *cli.Command, err error) error {
	path := cmd.String("db")
	if _, missing := os.Stat(path); !errors.Is(err, fs.ErrNotExist) || !errors.Is(missing, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("there is no database %s: name the one that \"descartes serve\" has with --db or DESCARTES_DB", path)
}

// oneFile gives the argument of a command that takes the name of one file.
func oneFile(cmd *cli.Command) (string, error) {
	if !cmd.Args().Present() {
		return "", usageError("say which file: descartes %s FILE", cmd.Name)
	}
	if cmd.NArg() != 1 || cmd.Args().First() == "" {
		return "", usageError("%s takes the name of one file, but got %q", cmd.Name, cmd.Args().Slice())
	}
	return cmd.Args().First(), nil
}

// count says how many there are of something.
func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
