package identity

import "time"

// Options are what an operator decides about the ways to sign in.
type Options struct {
	Keys    *VirtualKeys
	Recheck time.Duration // of ByCaddy
	// Dashboard is of ByDashboard.
	Dashboard AtDashboard
}

// Builtin returns the methods of this package. A new one is added here.
func Builtin(o Options) Methods {
	return Methods{ByVirtualKey(o.Keys), ByUserID(), Anonymously(), ByCaddy(o.Recheck), ByDashboard(o.Dashboard)}
}
