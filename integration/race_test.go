//go:build race

package integration

const withRaceDetector = true
