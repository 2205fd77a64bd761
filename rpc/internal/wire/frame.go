package wire

import (
	"crypto/rand"
	"encoding/binary"
	"math"
)

// Frames are laid out in RFC 6455, section 5.2. Everything sent is a whole message in
// one frame (FIN set), without extensions.

const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA

	maxControl = 125 // bytes of payload that a control frame can carry (section 5.5)
	maxHeader  = 14  // 2 bytes, 8 of length, 4 of mask
)

// mask is a masking key. A client masks every frame with a fresh one that cannot be
// predicted, a server none (sections 5.1 and 5.3); nil masks nothing.
type mask *[4]byte

func newMask(client bool) mask {
	if !client {
		return nil
	}
	key := new([4]byte)
	_, _ = rand.Read(key[:]) // never fails (crypto/rand)
	return key
}

// applyMask masks p, which begins offset bytes into the payload.
func applyMask(key mask, p []byte, offset int) {
	if key == nil {
		return
	}
	for i := range p {
		p[i] ^= key[(offset+i)&3]
	}
}

// appendHeader appends the header of a frame with a payload of n bytes.
func appendHeader(dst []byte, opcode byte, n int, key mask) []byte {
	const fin, masked = 0x80, 0x80
	dst = append(dst, fin|opcode)
	flag := byte(0)
	if key != nil {
		flag = masked
	}
	switch {
	case n <= 125:
		dst = append(dst, flag|byte(n))
	case n <= math.MaxUint16:
		dst = binary.BigEndian.AppendUint16(append(dst, flag|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, flag|127), uint64(n))
	}
	if key != nil {
		dst = append(dst, key[:]...)
	}
	return dst
}

// controlFrame is a complete control frame; payload is at most maxControl bytes.
func controlFrame(opcode byte, payload []byte, client bool) []byte {
	key := newMask(client)
	frame := appendHeader(make([]byte, 0, maxHeader+len(payload)), opcode, len(payload), key)
	start := len(frame)
	frame = append(frame, payload...)
	applyMask(key, frame[start:], 0)
	return frame
}

// closeFrame is a close frame (section 5.5.1); a reason that does not fit is cut.
func closeFrame(code int, reason string, client bool) []byte {
	payload := binary.BigEndian.AppendUint16(nil, uint16(code))
	payload = append(payload, cutUTF8(reason, maxControl-len(payload))...)
	return controlFrame(opClose, payload, client)
}

// cutUTF8 returns at most n bytes of s without splitting a character: the reason in a
// close frame must be valid UTF-8.
func cutUTF8(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}
