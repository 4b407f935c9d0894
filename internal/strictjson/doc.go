// Package strictjson reads JSON objects that others send.
//
// encoding/json lets a later member override an earlier one, and takes
// "REDIRECT_URIS" for "redirect_uris"; two readers of the same bytes can then
// see two different documents. This package refuses what could be read in two
// ways: repeated names, names that differ only in case, invalid UTF-8, data
// after the object. It also bounds size and depth.
//
//	bytes ─▶ Check: size, UTF-8, names, depth, end ─▶ Unmarshal: members by exact name
package strictjson
