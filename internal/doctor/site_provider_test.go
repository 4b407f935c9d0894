package doctor

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

func (s *site) register(w http.ResponseWriter, r *http.Request) {
	var m struct {
		RedirectURIs []string `json:"redirect_uris"`
	}
	if json.NewDecoder(r.Body).Decode(&m) != nil || len(m.RedirectURIs) != 1 {
		writeJSON(w, http.StatusBadRequest, object{"error": "invalid_redirect_uri"})
		return
	}
	id := fmt.Sprintf("client-%d", len(s.clients)+1)
	s.clients[id] = m.RedirectURIs[0]
	writeJSON(w, http.StatusCreated, object{
		"client_id": id, "redirect_uris": m.RedirectURIs, "token_endpoint_auth_method": "none",
		"registration_client_uri": issuer + "/register/" + id, "registration_access_token": "management-of-" + id,
	})
}

func (s *site) unregister(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimPrefix(r.URL.Path, "/register/")
	if r.Method != http.MethodDelete || s.clients[id] == "" || r.Header.Get("Authorization") != "Bearer management-of-"+id {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	s.deleted++
	w.WriteHeader(http.StatusNoContent)
}

// knows reports whether a client may be answered at the redirect URI.
func (s *site) knows(id, redirect string) bool {
	registered := s.clients[id]
	if id == document {
		registered = "http://localhost/callback"
		if strings.HasPrefix(redirect, "http://127.0.0.1") {
			registered = "http://127.0.0.1/callback"
		}
	}
	if s.anyPort {
		registered, redirect = withPort(registered, ""), withPort(redirect, "")
	}
	return registered != "" && registered == redirect
}

func (s *site) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	redirect := q.Get("redirect_uri")
	if !s.knows(q.Get("client_id"), redirect) {
		answerWith(w, http.StatusBadRequest, "Content-Type", "text/html", "", "<p>No such client. Reference: 6d3a1bd2-2d1c-4d08-8f5a-3f4f1a2b3c4d</p>")
		return
	}
	back := url.Values{"state": {q.Get("state")}}
	if s.iss {
		back.Set("iss", issuer)
	}
	switch {
	case s.needsChallenge && q.Get("code_challenge") == "":
		back.Set("error", "invalid_request")
	case q.Has("resource") && q.Get("resource") != serverURL:
		back.Set("error", "invalid_target")
	case q.Has("scope") && q.Get("scope") != scope:
		back.Set("error", "invalid_scope")
	case !s.asks:
		back.Set("code", "issued-"+q.Get("client_id"))
	default:
		answerWith(w, http.StatusOK, "Content-Type", "text/html", "Content-Security-Policy", "frame-ancestors 'none'")
		return
	}
	w.Header().Set("Location", redirect+"?"+back.Encode())
	w.WriteHeader(http.StatusFound)
}

func (s *site) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	id := r.Form.Get("client_id")
	if user, _, ok := r.BasicAuth(); ok {
		id = user
	}
	if s.clients[id] == "" && id != document {
		writeJSON(w, http.StatusUnauthorized, object{"error": "invalid_client"})
		return
	}
	if r.Form.Get("code") == "issued-"+id {
		writeJSON(w, http.StatusOK, object{"access_token": goodToken, "token_type": "Bearer", "refresh_token": "refresh-" + id})
		return
	}
	writeJSON(w, http.StatusBadRequest, object{"error": "invalid_grant"})
}
