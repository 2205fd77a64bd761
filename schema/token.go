package schema

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// Scope is what the holder of a [Token] may do.
type Scope string

// The scopes.
const (
	ScopeRead  Scope = "read"  // ask and subscribe
	ScopeWrite Scope = "write" // and change tasks
)

// Scopes lists the scopes, the weaker one first.
func Scopes() []Scope { return []Scope{ScopeRead, ScopeWrite} }

// TokenPrefix begins every token, so that a scanner for leaked secrets knows one
// when it sees one.
const TokenPrefix = "descartes_"

// TokenHash is the SHA-256 of a token. A token is 256 random bits: a slower hash
// would protect nothing that guessing could find.
type TokenHash [sha256.Size]byte

// HashToken gives the hash under which a token is known.
func HashToken(token string) TokenHash { return sha256.Sum256([]byte(token)) }

// NewToken makes a token: the prefix and 256 random bits in base64url (RFC 4648,
// section 5), which fits a header (RFC 6750, section 2.1) as well as the name of a
// WebSocket subprotocol (RFC 6455, section 4.1).
func NewToken() string {
	var secret [32]byte
	rand.Read(secret[:]) // never fails
	return TokenPrefix + base64.RawURLEncoding.EncodeToString(secret[:])
}

// Token is what is known of a token: everything but the token itself, which is
// shown once, when it is made.
type Token struct {
	Name      string    `json:"name"` // the actor of the changes that its holder makes
	Hash      TokenHash `json:"-"`
	Scope     Scope     `json:"scope"`
	CreatedAt int64     `json:"created_at"`           // Unix milliseconds
	RevokedAt int64     `json:"revoked_at,omitempty"` // Unix milliseconds, 0: it is not
}

// Revoked tells whether the token does not let its holder in any more.
func (t *Token) Revoked() bool { return t.RevokedAt != 0 }

// maxTokenName is how long the name of a token may be, in characters.
const maxTokenName = 64

// Validate checks name and scope. The error is an [Error] with code
// [CodeInvalidParams].
func (t *Token) Validate() error {
	return firstError(checkTokenName(t.Name), checkEnum("scope", t.Scope, Scopes()))
}

func checkTokenName(name string) error {
	if len(name) == 0 || len(name) > maxTokenName {
		return Invalid("name", "must have 1 to 64 characters")
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '@', c == '-':
		default:
			return Invalid("name", "may have letters, digits and . _ @ - only")
		}
	}
	return nil
}
