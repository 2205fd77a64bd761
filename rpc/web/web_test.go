package web

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(h http.Handler, path, tag string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if tag != "" {
		r.Header.Set("If-None-Match", tag)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestEveryFileIsServedSafely(t *testing.T) {
	h := New()
	for _, path := range h.Paths() {
		first := get(h, path, "")
		for name, want := range map[string]string{
			"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff",
			"Referrer-Policy": "no-referrer", "Cache-Control": "no-cache",
		} {
			if got := first.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if first.StatusCode != http.StatusOK || first.Header.Get("Content-Type") == "" {
			t.Errorf("%s: %s", path, first.Status)
		}
		if again := get(h, path, first.Header.Get("ETag")); again.StatusCode != http.StatusNotModified || again.Header.Get("Content-Security-Policy") != policy {
			t.Errorf("%s: %s for who has it", path, again.Status)
		}
		if other := get(h, path, `"of another binary"`); other.StatusCode != http.StatusOK {
			t.Errorf("%s: %s for who has another one", path, other.Status)
		}
		if cross := first.Header.Get("Access-Control-Allow-Origin"); (cross == "*") != (path == "/client.js" || path == "/subscription.js" || path == "/errors.js") {
			t.Errorf("%s: pages of other origins: %q", path, cross)
		}
	}
	if !h.Has("/") || !h.Has("/client.js") || !h.Has("/client.d.ts") || h.Has("/index.html") || h.Has("/page") {
		t.Errorf("there is %v", h.Paths())
	}
	if missing := get(h, "/web.go", ""); missing.StatusCode != http.StatusNotFound {
		t.Errorf("a file that is none: %s", missing.Status)
	}
}

// What the policy would block is not there in the first place, nothing is loaded from
// elsewhere, and no text becomes markup.
func TestFilesAreOurOwn(t *testing.T) {
	forbidden := regexp.MustCompile(`(?i)innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|<script>|<style|\sstyle="|\son[a-z]+="|(src|href)="https?:|(from|import\()\s*"https?:|@import`)
	h := New()
	for path, file := range h.assets {
		if found := forbidden.FindString(string(file.content)); found != "" {
			t.Errorf("%s has %q", path, found)
		}
		if strings.HasSuffix(path, ".css") && strings.Contains(string(file.content), "url(") {
			t.Errorf("%s loads something", path)
		}
		if lines := strings.Count(string(file.content), "\n"); lines > 350 {
			t.Errorf("%s has %d lines", path, lines)
		}
	}
}
