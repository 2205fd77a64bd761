//go:build race

package integration

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const withRaceDetector = true

// underRace are the tests that run under the race detector if -run does not say which:
// those in which a daemon has much to do at once. The daemon is ten times slower, so
// they are small.
var underRace = []string{
	"TestAgentsShareAPlan", "TestChurn", "TestClaims", "TestClaimsSurviveKills", "TestFollowersMissNothing",
	"TestKilledAgainAndAgain", "TestLeasesWhenTheDaemonEnds", "TestLinearizable", "TestPassingFaults",
	"TestReadyIsNeverWrong", "TestRecovery", "TestShellGetsInWhileSaturated",
	"TestSilentStrangers", "TestTwoDaemonsAreLinearizable", "TestWaitingClaimGoesWithItsConnection",
}

// raceSizes are what they read from the environment, where it says nothing else.
var raceSizes = map[string]string{"DESCARTES_CLAIMS": "200", "DESCARTES_KILLS": "2", "DESCARTES_READY_STEPS": "100"}

// build builds the command into a directory, with the race detector, too. What the detector
// finds is written there, so that it is known of a daemon that is killed as well.
func build(directory string) (binary string, err error) {
	flag.Parse()
	if run := flag.Lookup("test.run").Value; run.String() == "" {
		err = run.Set("^(" + strings.Join(underRace, "|") + ")$")
	}
	for name, value := range raceSizes {
		if os.Getenv(name) == "" {
			err = errors.Join(err, os.Setenv(name, value))
		}
	}
	err = errors.Join(err, os.Setenv("GORACE", "atexit_sleep_ms=0 log_path="+filepath.Join(directory, "race")))
	binary = filepath.Join(directory, "descartes")
	return binary, errors.Join(err, goBuild("-race", "-o", binary))
}

// races gives what the detector has found in daemons.
func races(directory string) (found error) {
	reports, err := filepath.Glob(filepath.Join(directory, "race.*"))
	for _, path := range reports {
		report, err := os.ReadFile(path)
		found = errors.Join(found, fmt.Errorf("a daemon has a data race:\n%s", report), err)
	}
	return errors.Join(found, err)
}
