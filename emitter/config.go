package emitter

import (
	"time"

	"github.com/google/uuid"
)

func (c Config) withDefaults() Config {
	c.Queue = orDefault(c.Queue, 1024)
	c.TailEvents = orDefault(c.TailEvents, 4096)
	c.TailBytes = orDefault(c.TailBytes, 4<<20)
	c.BookmarkEvery = orDefault(c.BookmarkEvery, 15*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.NewID == nil {
		c.NewID = func() string { return uuid.Must(uuid.NewV7()).String() }
	}
	if c.NewToken == nil {
		c.NewToken = func() string { return uuid.NewString() }
	}
	return c
}

func orDefault[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}
