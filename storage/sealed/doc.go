// Package sealed knows what is sealed in which record, and for which context: the
// associated data that binds a sealed value to its place (package seal). Whoever
// seals takes the context from here, and so can whoever seals it anew under
// another key, or checks that it opens.
//
// It seals and opens nothing, and knows nothing of what is inside.
package sealed
