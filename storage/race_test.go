//go:build race

package storage

const withRaceDetector = true
