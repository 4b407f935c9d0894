package lists

import "github.com/mcpoauth/caddy-mcp-oauth/authz/access"

// level is where the names and values that come now are.
func (f *Filter) level() *level { return &f.levels[f.nesting.Depth()] }

func (f *Filter) open(array bool) error {
	parent := f.level().place
	if !f.nesting.Open(array) {
		return errDepth
	}
	at := f.inside(parent, array)
	f.member = isOther
	if at == elsewhere {
		f.skips = f.nesting.Depth()
		return nil
	}
	*f.level() = level{at, !array}
	f.holdAt(at, parent)
	return nil
}

// inside returns the place that begins within another.
func (f *Filter) inside(parent place, array bool) place {
	outermost := f.nesting.Depth() == 1
	switch {
	case outermost && array:
		return inBatch
	case outermost, parent == inBatch && !array:
		return inMessage
	case parent == inMessage && f.member == isResult && !array:
		return inResult
	case parent == inResult && f.member == isCapabilities && !array:
		return inCapabilities
	case parent == inResult && array && f.member.lists():
		f.item.kind = f.member.kind()
		return inList
	case parent == inList && !array:
		return inItem
	case parent == inList:
		return inNoItem
	case parent == inItem && f.member == isAnnotations && !array:
		return inAnnotations
	}
	return elsewhere
}

// holdAt begins to hold what must be judged.
func (f *Filter) holdAt(at, parent place) {
	switch {
	case at == inList:
		f.hold, f.kept, f.listed[f.item.kind] = holdList, 0, true
	case parent == inList:
		f.hold, f.item, f.held = holdItem, item{kind: f.item.kind, bad: at != inItem}, f.held[:0]
	case at == inCapabilities:
		f.hold, f.held = holdCapabilities, f.held[:0]
	}
}

// resultEnds tells which lists it had.
func (f *Filter) resultEnds() {
	for kind, listed := range f.listed {
		if listed {
			f.policy.Listed(access.Kind(kind), !f.goesOn) //nolint:gosec // one of four
		}
	}
	f.listed, f.goesOn = [access.Prompt + 1]bool{}, false
}

func (f *Filter) close(array bool) error {
	if !f.nesting.Ends(array) {
		return errSyntax
	}
	at := f.level().place
	f.nesting.Close()
	f.member = isOther
	switch at {
	case inItem, inNoItem:
		f.hold = holdList
	case inList, inCapabilities:
		f.hold = holdNothing
	case inResult:
		f.resultEnds()
	}
	f.ended = f.nesting.Depth() == 0
	return nil
}
