package memstore

// node is the root of a treap: a search tree by key and a heap by weight,
// which keeps it balanced in expectation. Nodes never change once they are
// reachable; the nil node is the empty treap.
type node struct {
	key         string
	value       []byte
	weight      uint64
	left, right *node
}

func (n *node) get(key []byte) []byte {
	for n != nil {
		switch {
		case string(key) < n.key:
			n = n.left
		case string(key) > n.key:
			n = n.right
		default:
			return n.value
		}
	}
	return nil
}

// insert returns the treap with the pair in it.
func (n *node) insert(key string, value []byte, weight uint64) *node {
	if n == nil {
		return &node{key: key, value: value, weight: weight}
	}
	c := *n
	switch {
	case key < n.key:
		c.left = n.left.insert(key, value, weight)
		if c.left.weight > c.weight { // c.left is ours to change: insert made it
			up := c.left
			c.left, up.right = up.right, &c
			return up
		}
	case key > n.key:
		c.right = n.right.insert(key, value, weight)
		if c.right.weight > c.weight {
			up := c.right
			c.right, up.left = up.left, &c
			return up
		}
	default:
		c.value = value
	}
	return &c
}

// remove returns the treap without the key.
func (n *node) remove(key []byte) *node {
	if n == nil {
		return nil
	}
	c := *n
	switch {
	case string(key) < n.key:
		c.left = n.left.remove(key)
	case string(key) > n.key:
		c.right = n.right.remove(key)
	default:
		return join(n.left, n.right)
	}
	return &c
}

// join merges two treaps, all keys of left being below those of right.
func join(left, right *node) *node {
	if left == nil {
		return right
	}
	if right == nil {
		return left
	}
	if left.weight > right.weight {
		c := *left
		c.right = join(left.right, right)
		return &c
	}
	c := *right
	c.left = join(left, right.left)
	return &c
}

// ascend yields the pairs from the first key not below from, in order, and
// reports whether to go on.
func (n *node) ascend(from string, yield func(key, value []byte) bool) bool {
	if n == nil {
		return true
	}
	if n.key >= from {
		if !n.left.ascend(from, yield) || !yield([]byte(n.key), n.value) {
			return false
		}
	}
	return n.right.ascend(from, yield)
}
