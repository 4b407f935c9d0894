package mcp

import "encoding/json"

// opens begins an object or array.
func (s *Scanner) opens(array bool) error {
	switch {
	case s.open.Depth() == 0:
		if array {
			return s.push(array, inBatch)
		}
		return s.push(array, inMessage)
	case s.place() == inBatch:
		if array {
			return errMessage
		}
		return s.push(array, inMessage)
	case s.place() == inURIs:
		return errMember
	case s.member == 0:
		return s.push(array, elsewhere)
	case s.member&(hasVersion|hasMethod|hasID) != 0, s.member == hasParams && array:
		return errMember
	}
	within := s.member.within()
	if array != (within == inURIs) {
		within = elsewhere
	}
	if within != elsewhere {
		s.draft.typed |= s.member
	}
	return s.push(array, within)
}

func (s *Scanner) push(array bool, at place) error {
	if !s.open.Open(array) {
		return errDepth
	}
	depth := s.open.Depth()
	if depth < trackedDepth {
		s.places[depth] = at
	}
	if at == inMessage {
		s.draft = draft{}
	}
	if s.member == hasArguments {
		s.draft.argumentsDepth, s.draft.argumentsStart = depth, s.start
	}
	s.member = 0
	s.state = atFirstName
	if array {
		s.state = atFirstElement
	}
	return nil
}

// place is where the names and values that come now are.
func (s *Scanner) place() place {
	if depth := s.open.Depth(); depth < trackedDepth {
		return s.places[depth]
	}
	return elsewhere
}

// closes ends an object or array.
func (s *Scanner) closes(array bool) error {
	if !s.open.Ends(array) {
		return errSyntax
	}
	if s.open.Depth() == s.draft.argumentsDepth {
		s.noteArguments(array)
	}
	if s.place() == inMessage {
		m, err := s.draft.message()
		if err != nil {
			return err
		}
		s.any = true
		if err := s.found(m); err != nil {
			return err
		}
	}
	s.open.Close()
	s.valueEnds()
	return nil
}

// noteArguments notes the arguments of which the last byte comes next.
func (s *Scanner) noteArguments(array bool) {
	d := &s.draft
	if d.ArgumentsUnread = array || s.kept == nil; !d.ArgumentsUnread {
		d.Arguments = json.RawMessage(s.kept[d.argumentsStart : s.at+1])
	}
	d.argumentsDepth = 0
}

// valueEnds goes on after a value.
func (s *Scanner) valueEnds() {
	s.member, s.keeps = 0, false
	s.state = afterValue
	if s.open.Depth() == 0 {
		s.state = atEnd
	}
}
