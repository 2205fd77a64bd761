package wire

import "sync"

// Frames are gathered in pooled buffers. The small size keeps a peer that is slow to
// take one answer from holding on to a big buffer.
const (
	smallBuffer = 4 << 10
	largeBuffer = 64 << 10
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
)

// writeMessages writes each message as one text frame. Frames share socket writes as
// long as they fit in a buffer.
func (n *netConn) writeMessages(messages [][]byte) error {
	if err := n.lock(nil); err != nil {
		return err
	}
	defer n.unlock()
	size := 0
	for _, m := range messages {
		size += maxHeader + len(m)
	}
	if size <= smallBuffer {
		buffer := smallBuffers.Get().(*[smallBuffer]byte)
		defer smallBuffers.Put(buffer)
		return n.gather(buffer[:0], messages)
	}
	buffer := largeBuffers.Get().(*[largeBuffer]byte)
	defer largeBuffers.Put(buffer)
	return n.gather(buffer[:0], messages)
}

// gather frames the messages into buf and sends it whenever it is full.
func (n *netConn) gather(buf []byte, messages [][]byte) error {
	for _, m := range messages {
		if len(buf)+maxHeader+len(m) > cap(buf) && len(buf) > 0 {
			if err := n.send(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
		key := newMask(n.client)
		buf = appendHeader(buf, opText, len(m), key)
		if len(m) > cap(buf)-len(buf) {
			if err := n.sendLarge(buf, m, key); err != nil {
				return err
			}
			buf = buf[:0]
			continue
		}
		start := len(buf)
		buf = append(buf, m...)
		applyMask(key, buf[start:], 0)
	}
	if len(buf) == 0 {
		return nil
	}
	return n.send(buf)
}

// sendLarge sends a frame that does not fit in buf, which holds its header. What needs
// no mask is sent from where it is.
func (n *netConn) sendLarge(buf, payload []byte, key mask) error {
	if err := n.send(buf); err != nil {
		return err
	}
	n.partial = true
	defer func() { n.partial = n.writeErr != nil }()
	if key == nil {
		return n.send(payload)
	}
	for offset := 0; offset < len(payload); {
		piece := buf[:copy(buf[:cap(buf)], payload[offset:])]
		applyMask(key, piece, offset)
		if err := n.send(piece); err != nil {
			return err
		}
		offset += len(piece)
	}
	return nil
}
