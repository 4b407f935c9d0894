package tokens

// Prefixes of what is issued to clients. They let secret scanners find a leaked
// one, and keep one kind from being taken for another.
const (
	AccessPrefix  = "mcpat_"
	RefreshPrefix = "mcprt_"
	CodePrefix    = "mcpac_"
)
