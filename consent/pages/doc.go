// Package pages renders the pages that a browser sees: templates, words, the
// operator's brand, and the headers that keep a page from being framed,
// scripted, cached or leaked through a referrer.
//
// It knows nothing of OAuth, never reads a request, and never shows anything
// as HTML but its own templates.
package pages
