package config

import (
	"cmp"
	"slices"
	"strings"
)

// PinTools is how tools are treated that change, or appear, after they were trusted.
type PinTools struct {
	// Mode is one of:
	//
	// - `off`: they are passed on.
	// - `warn`: they are passed on, and a line in the log says so.
	// - `hold`: they are in no list and cannot be called, until what they are now was
	//   approved. The log has the line, too.
	Mode string `json:"mode"`
	// Approvers says who approves, by `caddy mcp-oauth tools`, the admin API or the
	// account page. One of:
	//
	// - `operator`: an operator, for everybody. The default.
	// - `person`: an operator, or each person for themselves.
	Approvers string `json:"approvers,omitempty"`
	// FirstList says what the first list is, which is seen before anything was
	// approved. One of:
	//
	// - `trusted`: approved, as it is. The default.
	// - `held`: held back, so that nothing can be used before it was approved.
	FirstList string `json:"first_list,omitempty"`
}

// The values of the fields of PinTools.
const (
	PinWarn          = "warn"
	PinHold          = "hold"
	pinOff           = "off"
	ApproverOperator = "operator"
	ApproverPerson   = "person"
	FirstTrusted     = "trusted"
	FirstHeld        = "held"
)

// resolvePins checks how tools are pinned.
func (s *Server) resolvePins(path string) error {
	if s.PinTools == nil {
		return nil
	}
	p := *s.PinTools
	p.Approvers, p.FirstList = cmp.Or(p.Approvers, ApproverOperator), cmp.Or(p.FirstList, FirstTrusted)
	for _, field := range []struct {
		name, value string
		known       []string
	}{
		{"mode", p.Mode, []string{pinOff, PinWarn, PinHold}},
		{"approvers", p.Approvers, []string{ApproverOperator, ApproverPerson}},
		{"first_list", p.FirstList, []string{FirstTrusted, FirstHeld}},
	} {
		if !slices.Contains(field.known, field.value) {
			return Errorf(path+"."+field.name, "%q is not one of: %s", field.value, strings.Join(field.known, ", "))
		}
	}
	if p.Mode == PinWarn && (p.Approvers != ApproverOperator || p.FirstList != FirstTrusted) {
		return Errorf(path, "with warn nothing is held back, so nobody approves; write pin_tools hold, or remove the block")
	}
	s.PinTools = &p
	if p.Mode == pinOff {
		s.PinTools = nil
	}
	return nil
}

// ListsByAccount reports whether the server may list other tools to each person.
func (s *Server) ListsByAccount() bool {
	return s.Auth != nil && s.Auth.Mode.PerUser() || len(s.IdentityHeaders) > 0 || s.IdentityJWT != ""
}

// ListsByClient reports whether the server is told through which client somebody calls,
// and so may list other tools to each.
func (s *Server) ListsByClient() bool {
	for _, told := range s.IdentityHeaders {
		if told == "client" || told == "grant" || told == "scope" {
			return true
		}
	}
	return s.IdentityJWT != ""
}

// ViewOf names to whom the server lists its tools: each account of each person, if it may
// list other tools to each; else it is empty.
func (s *Server) ViewOf(person string) string {
	if !s.ListsByAccount() {
		return ""
	}
	return person + "\n" + s.Account
}

// ViewThrough is ViewOf for somebody who calls through a client. Where that makes a
// difference, it begins with ViewOf and a line break.
func (s *Server) ViewThrough(person, client string) string {
	if !s.ListsByClient() {
		return s.ViewOf(person)
	}
	return s.ViewOf(person) + "\n" + client
}

// PeopleApprove reports whether people approve tools of the server for themselves.
func (s *Server) PeopleApprove() bool {
	return s.PinTools != nil && s.PinTools.Approvers == ApproverPerson
}
