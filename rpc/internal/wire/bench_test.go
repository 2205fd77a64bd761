package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
)

func BenchmarkParseFrame(b *testing.B) {
	description := strings.Repeat("lorem ipsum ", 40)
	for name, text := range map[string]string{
		"get": `{"jsonrpc":"2.0","id":17,"method":"task.get","params":{"id":"0190b0f2-7c1e-7cc0-8a53-6f1d3a2b9c4d"}}`,
		"create": `{"jsonrpc":"2.0","id":17,"method":"task.create","params":{"title":"Write the report","description":"` +
			description + `","priority":"high","metadata":{"a":1}}}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			frame := []byte(text)
			b.SetBytes(int64(len(frame)))
			for b.Loop() {
				ParseFrame(frame, Limits{})
			}
		})
	}
}

func BenchmarkAnswer(b *testing.B) {
	b.ReportAllocs()
	result := bytes.Repeat([]byte("1"), 600)
	r := ParseFrame([]byte(`{"jsonrpc":"2.0","id":17,"method":"task.get"}`), Limits{})[0]
	for b.Loop() {
		r.answered.Store(false)
		r.Answer(result, nil)
	}
}

// BenchmarkWrite writes 600 B messages over a real socket to a peer that only reads.
func BenchmarkWrite(b *testing.B) {
	for name, batch := range map[string]int{"one": 1, "hundred": 100} {
		b.Run(name, func(b *testing.B) {
			url, accepted := serve(b, Options{})
			client := dialRaw(b, url)
			server := receive(b, accepted)
			go func() {
				sink := make([]byte, 1<<20)
				for {
					if _, err := client.in.Read(sink); err != nil {
						return
					}
				}
			}()
			messages := make([][]byte, batch)
			for i := range messages {
				messages[i] = bytes.Repeat([]byte("x"), 600)
			}
			b.ReportAllocs()
			b.SetBytes(int64(600 * batch))
			for b.Loop() {
				if err := server.Write(messages...); err != nil {
					b.Fatal(err)
				}
			}
			_ = server.CloseNow()
		})
	}
}

// BenchmarkRead reads requests of 600 bytes from a real socket whose peer always has more.
func BenchmarkRead(b *testing.B) {
	url, accepted := serve(b, Options{})
	client := dialRaw(b, url)
	server := receive(b, accepted)
	requests := bytes.Repeat(frame(0x80, opText, strings.Repeat("x", 600)), 64)
	go func() {
		for {
			if _, err := client.Write(requests); err != nil {
				return
			}
		}
	}()
	b.ReportAllocs()
	b.SetBytes(600)
	for b.Loop() {
		if _, err := server.Read(); err != nil {
			b.Fatal(err)
		}
	}
	_ = server.CloseNow()
}

// BenchmarkCall: one call after the other, with 400 bytes of params and 600 of result; both
// ends are in it.
func BenchmarkCall(b *testing.B) {
	server, end := pair(b, Options{})
	result := []byte(`{"result":"` + strings.Repeat("x", 600) + `"}`)
	ended := make(chan error, 1)
	server.Serve(Limits{}, func(r *Request) { _ = server.Write(r.Answer(result, nil)) }, func(err error) { ended <- err })
	client := end.Client(context.Background(), func(string, json.RawMessage) {})
	params := []byte(`{"description":"` + strings.Repeat("x", 400) + `"}`)
	b.ReportAllocs()
	for b.Loop() {
		var answer json.RawMessage
		if err := client.Call(b.Context(), "task.create", params, &answer); err != nil || len(answer) != len(result) {
			b.Fatal(answer, err)
		}
	}
	_ = client.Close()
	<-ended
}
