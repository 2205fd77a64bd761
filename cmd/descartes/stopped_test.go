package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

// awaitSignal makes the test binary be a command that says "runs" and its task, and
// ends with an exit code when it is told to; "never": it only says that it heard.
const awaitSignal = "await-signal"

func beStopped(code string) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	fmt.Println("runs", os.Getenv(taskVariable))
	for s := range signals {
		fmt.Println("got", s)
		if n, err := strconv.Atoi(code); err == nil {
			os.Exit(n)
		}
	}
}
