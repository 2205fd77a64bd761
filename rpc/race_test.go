//go:build race

package rpc

const withRaceDetector = true
