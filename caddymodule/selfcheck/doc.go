// Package selfcheck asks a site, before it is called ready, what a client and a
// browser will ask it, through everything that Caddy has around it.
//
// It sends requests of its own through the routes of Caddy's servers
// (neighbours.Traveller), for metadata in all forms, the challenge of each MCP
// server, pages, callbacks, published keys and CORS preflights, and compares what
// comes out with what the site answered. What cannot work is a reason to refuse
// the configuration; what may not is a warning, with the fix.
//
// It opens no connection and takes no time that counts: nothing on the way is run
// that would ask somebody else. It is in no access log, and counts nowhere.
package selfcheck
