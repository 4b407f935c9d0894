package lists

// skip reads on in a value in which nothing matters, and returns where it ends or
// where p does: most of a list is such values.
func (f *Filter) skip(p []byte, i int) (int, error) {
	for ; i < len(p); i++ {
		switch c := p[i]; c {
		case '"':
			end := textEnd(p, i+1)
			if end < 0 {
				f.inText, f.takes = true, false
				return f.readText(p, i+1), nil
			}
			i = end
		case '{', '[':
			if !f.nesting.Open(c == '[') {
				return i, errDepth
			}
		case '}', ']':
			if !f.nesting.Ends(c == ']') {
				return i, errSyntax
			}
			if f.nesting.Close(); f.nesting.Depth() < f.skips {
				f.skips = 0
				return i, nil
			}
		}
	}
	return i, nil
}
