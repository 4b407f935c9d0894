package pins

import "slices"

// tool is what is known of one.
type tool struct {
	approved, pending []Definition // the newest last
}

func (t *tool) approves(h Hash) bool {
	return t != nil && slices.ContainsFunc(t.approved, func(d Definition) bool { return d.Hash == h })
}

func (t *tool) awaits(h Hash) bool {
	return t != nil && slices.ContainsFunc(t.pending, func(d Definition) bool { return d.Hash == h })
}

// bound keeps the newest definitions, and the texts of the newest of them.
func (t *tool) bound() {
	order := func(a, b Definition) int { return a.At.Compare(b.At) }
	slices.SortStableFunc(t.approved, order)
	slices.SortStableFunc(t.pending, order)
	t.approved = slices.Clone(t.approved[max(0, len(t.approved)-maxApproved):])
	t.pending = slices.Clone(t.pending[max(0, len(t.pending)-maxPending):])
	for i := range len(t.approved) - withTexts {
		t.approved[i].Texts = nil
	}
}
