package client_test

import (
	"fmt"
	"testing"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// BenchmarkView opens a View of 5,000 tasks and waits until it is live.
func BenchmarkView(b *testing.B) {
	defer runDaemon()()
	c, err := client.Dial(b.Context(), url, client.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	const tasks = 5000
	for i := 0; i < tasks; i += 1000 {
		operations := make([]schema.Operation, 1000)
		for n := range operations {
			operations[n] = schema.Operation{Op: schema.OpCreate, Create: &schema.Draft{Title: fmt.Sprint("task ", i+n)}}
		}
		if _, err := c.Apply(b.Context(), operations...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		v, err := c.View(b.Context(), client.ViewOptions{})
		if err == nil {
			err = v.Wait(b.Context())
		}
		if err != nil || v.Len() != tasks {
			b.Fatal(v, err)
		}
		if err := v.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
