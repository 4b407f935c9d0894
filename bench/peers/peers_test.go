package peers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	dir := t.TempDir()
	program, text := filepath.Join(dir, "program"), filepath.Join(dir, "text")
	for path, mode := range map[string]os.FileMode{program: 0o755, text: 0o644} {
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for list, want := range map[string][]string{
		"":                        nil,
		"sigbit=" + program:       {"sigbit"},
		"oauth2-proxy=" + program: {"oauth2-proxy", "forward_auth"},
		" oauth2-proxy=" + program + ", caddy-security=" + program + ",": {"caddy-security", "oauth2-proxy", "forward_auth"},
	} {
		programs, err := Parse(list)
		if err != nil || !slices.Equal(programs.Others(), want) {
			t.Errorf("%q: %v, %v", list, programs.Others(), err)
		}
	}
	for list, want := range map[string]string{
		"caddy=" + program:      `"caddy" is no peer; there are caddy-security, sigbit, oauth2-proxy`,
		program:                 "is no peer",
		"sigbit":                "sigbit has no path",
		"sigbit=":               "sigbit has no path",
		"sigbit=" + dir:         "is not a program",
		"sigbit=" + text:        "is not a program",
		"sigbit=" + dir + "/no": "no such file",
		"sigbit=" + program + ",sigbit=" + program: "sigbit is there twice",
	} {
		if _, err := Parse(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", list, err, want)
		}
	}
}

func TestTokensAreSigned(t *testing.T) {
	token, err := signHS512([]byte("key"), claims{"sub": "a"})
	if err != nil {
		t.Fatal(err)
	}
	signed, signature := parts(t, token, "HS512")
	mac := hmac.New(sha512.New, []byte("key"))
	mac.Write(signed)
	if !hmac.Equal(mac.Sum(nil), signature) {
		t.Error("a JWT with another MAC")
	}

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{"https://issuer.example", key}
	tokens, err := i.idTokens(3)
	if err != nil || len(tokens) != 3 || tokens[0] == tokens[1] {
		t.Fatal(tokens, err)
	}
	w := httptest.NewRecorder()
	i.ServeHTTP(w, httptest.NewRequest("GET", "/keys", nil))
	var set struct {
		Keys []struct{ X, Y, Kid string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &set); err != nil || len(set.Keys) != 1 || set.Keys[0].Kid != keyID {
		t.Fatalf("%s, %v", w.Body, err)
	}
	point := append(append([]byte{4}, bytesOf(t, set.Keys[0].X)...), bytesOf(t, set.Keys[0].Y)...) // uncompressed (SEC 1 section 2.3.3)
	published, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range tokens {
		signed, signature := parts(t, token, "ES256")
		sum := sha256.Sum256(signed)
		if len(signature) != 64 || !ecdsa.Verify(published, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
			t.Error("a JWT that the published key does not verify")
		}
	}
}

// parts returns what a JWT's signature is of, and the signature.
func parts(t *testing.T, token, algorithm string) (signed, signature []byte) {
	t.Helper()
	at := strings.LastIndex(token, ".")
	head, _, _ := strings.Cut(token, ".")
	if !strings.Contains(string(bytesOf(t, head)), `"alg":"`+algorithm+`"`) {
		t.Errorf("the head of a JWT with %s is %s", algorithm, bytesOf(t, head))
	}
	return []byte(token[:at]), bytesOf(t, token[at+1:])
}

func bytesOf(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The password is asked for once; a sign-in that ends anywhere else than with a code is
// an error.
func TestSigbitClientSignsIn(t *testing.T) {
	passwords, codes := 0, 0
	mux := http.NewServeMux()
	mux.HandleFunc("POST /.idp/register", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"client_id":"c"}`))
	})
	mux.HandleFunc("GET /.idp/auth", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/.idp/auth/1", http.StatusFound)
	})
	mux.HandleFunc("GET /.idp/auth/1", func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("session"); err != nil {
			http.Redirect(w, r, "/.auth/login", http.StatusFound)
			return
		}
		codes++
		http.Redirect(w, r, redirectURI+"?code=code", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /.auth/login", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /.auth/login", func(w http.ResponseWriter, r *http.Request) {
		if passwords++; r.PostFormValue("password") != "right" {
			http.Error(w, "wrong", http.StatusBadRequest)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "s", Path: "/"})
		http.Redirect(w, r, "/.idp/auth/1", http.StatusFound)
	})
	mux.HandleFunc("POST /.idp/token", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"access_token":"` + r.PostFormValue("code") + `-token"}`))
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	tokens, err := (&sigbitClient{site: server.URL, password: "right"}).tokens(3)
	if err != nil || !slices.Equal(tokens, []string{"code-token", "code-token", "code-token"}) || passwords != 1 || codes != 3 {
		t.Errorf("%v, %v; %d passwords, %d codes", tokens, err, passwords, codes)
	}
	if _, err := (&sigbitClient{site: server.URL, password: "wrong"}).tokens(1); err == nil || !strings.Contains(err.Error(), "400") {
		t.Errorf("a wrong password: %v", err)
	}
}
