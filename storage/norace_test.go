//go:build !race

package storage

const withRaceDetector = false
