package cluster

import "slices"

// chain is the hash chain over the journal at some position.
type chain [32]byte

// remembered is how many changes of the chain a daemon can be asked for.
const remembered = 4096

// chains remembers the chain of the newest positions.
type chains struct {
	links []link // in the order of their positions
	reach int64  // the newest position that is known of
}

// link is a position at which the chain became what it is.
type link struct {
	position int64
	chain    chain
}

// add notes the chain at a position that follows all before.
func (c *chains) add(position int64, now chain) {
	c.reach = position
	if n := len(c.links); n > 0 && c.links[n-1].chain == now {
		return
	}
	if len(c.links) == 2*remembered {
		c.links = slices.Delete(c.links, 0, remembered)
	}
	c.links = append(c.links, link{position, now})
}

// at gives the chain at a position; it is not ok if that is not reached yet, or too
// long ago.
func (c *chains) at(position int64) (_ chain, ok bool) {
	if position > c.reach {
		return chain{}, false
	}
	i, exact := slices.BinarySearchFunc(c.links, position, func(l link, p int64) int {
		return int(l.position - p)
	})
	if !exact {
		i--
	}
	if i < 0 {
		return chain{}, false
	}
	return c.links[i].chain, true
}
