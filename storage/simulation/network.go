package simulation

// Network is what connections go through.
type Network struct{}

func (s *schedule) networkStep() error    { return nil }
func (s *schedule) networkQuiesce() error { return nil }
