//go:build !race

package integration

import "path/filepath"

const withRaceDetector = false

// build builds the command into a directory.
func build(directory string) (binary string, err error) {
	binary = filepath.Join(directory, "descartes")
	return binary, goBuild("-o", binary)
}

func races(string) error { return nil }
