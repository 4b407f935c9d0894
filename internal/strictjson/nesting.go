package strictjson

// maxNesting is how deep a text that is read byte by byte may be nested.
const maxNesting = 512

// Nesting is which objects and arrays are open in a JSON text that is read byte by
// byte. The zero value is outside of all.
type Nesting struct {
	depth  int
	arrays [maxNesting / 64]uint64 // by depth, whether it is one
}

// Depth returns how many are open.
func (n *Nesting) Depth() int { return n.depth }

// Open begins an array or an object. It reports whether that is not too deep.
func (n *Nesting) Open(array bool) bool {
	if n.depth+1 >= maxNesting {
		return false
	}
	n.depth++
	bit := uint64(1) << (n.depth % 64)
	n.arrays[n.depth/64] &^= bit
	if array {
		n.arrays[n.depth/64] |= bit
	}
	return true
}

// InArray reports whether the innermost that is open is an array.
func (n *Nesting) InArray() bool { return n.arrays[n.depth/64]&(1<<(n.depth%64)) != 0 }

// Ends reports whether a bracket, or a brace, ends the innermost that is open.
func (n *Nesting) Ends(bracket bool) bool { return n.depth > 0 && n.InArray() == bracket }

// Close ends the innermost that is open.
func (n *Nesting) Close() { n.depth-- }
