// Package web is the board: the page that a browser gets at GET /, and the JavaScript
// client that it and other pages use. It is plain ES modules, CSS and HTML, embedded,
// and speaks the same JSON-RPC as everyone else: nothing here knows a task.
package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
)

//go:embed page
var page embed.FS

// policy lets the page use what this server serves and nothing else, no inline script
// or style either: a task that gets markup past the page would find it dead.
const policy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// contentTypes are those of the files, by their extension. The system's own table is not
// asked: it differs from machine to machine.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".ts":   "text/plain; charset=utf-8",
	".svg":  "image/svg+xml",
}

// asset is a file of the page.
type asset struct {
	content     []byte
	contentType string
	tag         string // changes with the content
}

// Handler serves the files of the page.
type Handler struct {
	assets map[string]asset // by URL path
}

// New makes a Handler. It panics if a file has no known type.
func New() *Handler {
	h := &Handler{assets: make(map[string]asset)}
	files, err := page.ReadDir("page")
	if err != nil {
		panic(err) // it is embedded
	}
	for _, file := range files {
		content, err := fs.ReadFile(page, "page/"+file.Name())
		contentType := contentTypes[path.Ext(file.Name())]
		if err != nil || contentType == "" {
			panic("rpc/web: " + file.Name() + " has no known type")
		}
		sum := sha256.Sum256(content)
		url := "/" + file.Name()
		if url == "/index.html" {
			url = "/"
		}
		h.assets[url] = asset{content, contentType, `"` + hex.EncodeToString(sum[:12]) + `"`}
	}
	return h
}

// Paths gives the URL path of every file.
func (h *Handler) Paths() []string {
	paths := make([]string, 0, len(h.assets))
	for url := range h.assets {
		paths = append(paths, url)
	}
	return paths
}

// Has tells whether there is a file at a URL path. Nothing of the user's is in any.
func (h *Handler) Has(url string) bool {
	_, ok := h.assets[url]
	return ok
}

// ServeHTTP answers with a file. Browsers keep it, but ask each time whether it is still
// the same, so that the page is always the one of this binary.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	file, ok := h.assets[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cache-Control", "no-cache")
	header.Set("ETag", file.tag)
	if slices.Contains([]string{"/client.js", "/subscription.js", "/errors.js"}, r.URL.Path) { // for pages of origins that may come in
		header.Set("Access-Control-Allow-Origin", "*")
	}
	if r.Header.Get("If-None-Match") == file.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Type", file.contentType)
	header.Set("Content-Length", strconv.Itoa(len(file.content)))
	w.Write(file.content)
}
