// Package sessions is in which browsers people are signed in to the pages: the
// session outside of any authorization request, the cookies that bind both to a
// browser, and whether somebody who began something is still there.
//
// It never renders a page, and never asks who somebody is.
package sessions
