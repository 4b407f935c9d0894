// Package sessions is in which browsers people are signed in to the pages: the
// session outside of any authorization request, the cookies that bind both to a
// browser, and whether the person who began something is still signed in.
//
// It never renders a page, and never identifies a person.
package sessions
