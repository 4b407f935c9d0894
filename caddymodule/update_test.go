package caddymodule

import "flag"

// update writes anew what the code says, where a test would else compare it
// with what is there. A run with -update passes whatever the code does: read the
// difference before you commit it.
var update = flag.Bool("update", false, "write anew: the comments with the grammar in caddyfile.go and caddyfile_global.go, "+
	"the expected part of testdata/adapt, testdata/examples and testdata/golden")
