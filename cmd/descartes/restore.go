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

func restoreCommand() *cli.Command {
	return &cli.Command{
		Name:      "restore",
		Usage:     "make a backup the database again",
		ArgsUsage: "FILE",
		Description: "FILE is checked first and stays as it is. No daemon may have the database open. One that holds tasks is replaced\n" +
			"with --force only, and kept beside with .before-restore after its name. Cursors from before are told so\n" +
			"(cursor_expired, epoch): who follows the journal takes a new snapshot. Tokens are those of the backup.",
		Flags:        []cli.Flag{dbFlag(), &cli.BoolFlag{Name: "force", Usage: "replace a database that holds tasks"}},
		OnUsageError: onUsageError,
		Action:       failing(restore),
	}
}

func restore(ctx context.Context, cmd *cli.Command) error {
	file, err := oneFile(cmd)
	if err != nil {
		return err
	}
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no file %s: \"descartes backup\" writes what this reads", file)
	}
	bar := newProgress(cmd.Root().ErrWriter, "copying")
	defer bar.close()
	restored, err := storage.Restore(ctx, storage.RestoreConfig{
		From: file, Path: cmd.String("db"), Replace: cmd.Bool("force"), Progress: bar.show,
	})
	if err != nil {
		return err
	}
	bar.close()
	kept := ""
	if restored.Kept != "" {
		kept = "; what was there is " + restored.Kept
	}
	_, err = fmt.Fprintf(cmd.Root().Writer, "%s: %s, seq %d, %d bytes%s\n",
		restored.Path, count(restored.Tasks, "task"), restored.Seq, restored.Bytes, kept)
	return err
}
