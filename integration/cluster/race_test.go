//go:build race

package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// watched builds the daemon with the race detector, too.
var watched = []string{"-race"}

// watch has what the detector finds in daemons written to a directory, so that it is
// known of one that is killed as well.
func watch(directory string) error {
	return os.Setenv("GORACE", "atexit_sleep_ms=0 log_path="+filepath.Join(directory, "race"))
}

// races gives what the detector has found.
func races(directory string) (found error) {
	reports, err := filepath.Glob(filepath.Join(directory, "race.*"))
	for _, path := range reports {
		report, err := os.ReadFile(path)
		found = errors.Join(found, fmt.Errorf("a daemon has a data race:\n%s", report), err)
	}
	return errors.Join(found, err)
}
