package pins

import "time"

const (
	// maxViews and maxHeld bound what is known of who was listed what. Whoever is
	// forgotten is asked for again when they call.
	maxViews = 1 << 14
	maxHeld  = 1 << 16
)

// views are what the server listed to whom, as far as it was not approved. The zero
// value has none.
type views struct {
	of   map[string]map[string]Hash // tools that are defined otherwise than approved, by viewer
	held int
}

// see notes that a viewer was listed something.
func (v *views) see(viewer string) {
	if _, seen := v.of[viewer]; seen {
		return
	}
	v.forget(viewer)
	if v.of == nil {
		v.of = map[string]map[string]Hash{}
	}
	v.of[viewer] = nil
}

// hold notes that a viewer was listed a tool with a definition that was not approved.
func (v *views) hold(viewer, name string, h Hash) {
	v.see(viewer)
	if v.of[viewer] == nil {
		v.of[viewer] = map[string]Hash{}
	}
	if _, known := v.of[viewer][name]; !known {
		v.forget(viewer)
		v.held++
	}
	v.of[viewer][name] = h
}

// release notes that a viewer was listed a tool as it was approved.
func (v *views) release(viewer, name string) {
	if _, held := v.of[viewer][name]; held {
		delete(v.of[viewer], name)
		v.held--
	}
}

func (v *views) holds(viewer, name string) bool {
	_, held := v.of[viewer][name]
	return held
}

// look returns with which definition a tool was listed to a viewer, if that was not
// approved then (other), and whether anything was listed to them.
func (v *views) look(viewer, name string) (h Hash, other, seen bool) {
	tools, seen := v.of[viewer]
	h, other = tools[name]
	return h, other, seen
}

// forget makes room for one more viewer, or one more tool of a viewer, at others' cost.
func (v *views) forget(but string) {
	for viewer, tools := range v.of {
		if len(v.of) < maxViews && v.held < maxHeld {
			return
		}
		if viewer != but {
			delete(v.of, viewer)
			v.held -= len(tools)
		}
	}
}

// told is of which tools something was told lately.
type told struct {
	since time.Time
	tools map[string]bool
}

// due reports whether something is to be told of a tool.
func (d *told) due(name string, now time.Time) bool {
	if d.tools == nil || now.Sub(d.since) >= tellAgain {
		d.since, d.tools = now, map[string]bool{}
	}
	if d.tools[name] || len(d.tools) >= maxTold {
		return false
	}
	d.tools[name] = true
	return true
}
