// Package toollists asks MCP servers for their tools, so that the pages on which people
// choose among them can show them, also to somebody whose client has called nothing yet.
//
//	page ─▶ Asker.Ask ─▶ credential of the person, or the shared one
//	                 ─▶ inquiry ─▶ carrier ─▶ the server's proxy
//	                 ─▶ what lists the same to everybody: Note, what everybody is shown
//	                    else: Hear, what that person is shown, with that account
//
// A page waits for a short while; what comes later is there for the next one. A server
// is asked as a person once at a time, and for few people at a time. Its answers are
// judged by nobody here and go nowhere else.
package toollists
