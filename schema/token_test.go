package schema

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

func TestNewToken(t *testing.T) {
	// A token of RFC 9110, section 5.6.2, which a subprotocol must be, and a b64token
	// of RFC 6750, section 2.1.
	form := regexp.MustCompile(`^descartes_[A-Za-z0-9_-]{43}$`)
	seen := make(map[string]bool)
	for range 100 {
		secret := NewToken()
		if !form.MatchString(secret) || seen[secret] {
			t.Errorf("made %s", secret)
		}
		seen[secret] = true
	}
}

func TestTokenValidate(t *testing.T) {
	for name, valid := range map[string]bool{
		"a": true, "Ann.Smith_2@ci-1": true, "-": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a b": false, "a/b": false, "ä": false, "a\n": false, "a\x00": false, "*": false,
	} {
		token := Token{Name: name, Scope: ScopeRead}
		if err := token.Validate(); (err == nil) != valid || err != nil && CodeOf(err) != CodeInvalidParams {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, scope := range []Scope{"", "Read", "admin", "read,write"} {
		if (&Token{Name: "a", Scope: scope}).Validate() == nil {
			t.Errorf("scope %q is valid", scope)
		}
	}
}

// The hash is of no use to whoever sees a list.
func TestTokenJSON(t *testing.T) {
	token := Token{Name: "a", Hash: HashToken("x"), Scope: ScopeWrite, CreatedAt: 1, RevokedAt: 2}
	got, err := json.Marshal(token)
	if want := `{"name":"a","scope":"write","created_at":1,"revoked_at":2}`; err != nil || string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
