package move

// SetBatch sets how many records are moved at once, until it is called again.
func SetBatch(n int) (before int) {
	before, batch = batch, n
	return before
}
