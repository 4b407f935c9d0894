package access

// Rules are the access rules of one server. Nil has none, and allows everything.
type Rules struct{}

// Rule is one access rule.
type Rule struct{}

// Decide returns whether somebody may use an item. The first rule that matches
// decides; where there are rules for items of the kind and none matches, it is
// denied. It allocates nothing that grows with the number of rules. It is safe for
// concurrent use.
func (r *Rules) Decide(who Who, item Item) Decision {
	if r == nil {
		return Decision{Allowed: true}
	}
	return Decision{}
}

// Has reports whether there are rules for items of a kind. Without, lists of them
// need not be read.
func (r *Rules) Has(kind Kind) bool { return r != nil }

// Nothing reports whether the rules let somebody use nothing of a kind, whatever it
// is called and whatever the server says of it.
func (r *Rules) Nothing(who Who, kind Kind) bool { return r != nil }
