package lists

// skip reads on in a value in which nothing matters, and returns where it ends or
// where p does: most of a list is such values.
func (f *Filter) skip(p []byte, i int) (int, error) {
	for ; i < len(p); i++ {
		switch c := p[i]; c {
		case '"':
			if f.followsLiteral(p, i) {
				return i, errSyntax
			}
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
		case ':', ',', ' ', '\t', '\n', '\r':
		default:
			if !isLiteral(c) {
				return i, errSyntax
			}
		}
	}
	return i, nil
}

// isLiteral reports whether a byte may be of a number, or of a word such as true. Lenient
// readers take others for comments and quotes, or for text of two bytes a character, and
// would find lists in what is a text here.
func isLiteral(c byte) bool { return literals[c] }

var literals = func() (all [256]bool) {
	for _, c := range []byte("+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
		all[c] = true
	}
	return all
}()

// followsLiteral reports whether the byte before p[i] is of a literal: of what lenient
// readers take for a text without quotes, a quote can be a part.
func (f *Filter) followsLiteral(p []byte, i int) bool {
	if i == 0 {
		return isLiteral(f.last)
	}
	return isLiteral(p[i-1])
}
