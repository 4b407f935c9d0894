// Package dashboard verifies the word of a web application that signs people in
// for this site: a JSON Web Token (RFC 7519) about one person, for this site
// alone.
//
// It never issues anything, knows nothing of requests, and takes no token of this
// site's own: by type, issuer, audience and key.
package dashboard
