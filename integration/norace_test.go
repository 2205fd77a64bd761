//go:build !race

package integration

const withRaceDetector = false
