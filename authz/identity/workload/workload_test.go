package workload

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

const site = "https://mcp.example.com"

var testNow = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// signer signs as an issuer.
type signer struct {
	alg jose.SignatureAlgorithm
	key crypto.Signer
	id  string
	typ string
}

func newSigner(t testing.TB, alg jose.SignatureAlgorithm, id, typ string) *signer {
	t.Helper()
	var key crypto.Signer
	var err error
	if alg == jose.ES256 {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &signer{alg, key, id, typ}
}

// published is the signer's public key, for a use.
func (s *signer) published(use string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.key.Public(), KeyID: s.id, Use: use}
}

func (s *signer) sign(t testing.TB, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return s.signText(t, string(payload))
}

func (s *signer) signText(t testing.TB, payload string) string {
	t.Helper()
	o := &jose.SignerOptions{}
	if s.typ != "" {
		o = o.WithType(jose.ContentType(s.typ))
	}
	by, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: jose.JSONWebKey{Key: s.key, KeyID: s.id}}, o)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := by.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// system is one that vouches for programs, as the real one does.
type system struct {
	trust  Trust
	claims map[string]any
	who    string // its subject here
	*signer
}

func rules(t testing.TB, issuer string, texts ...string) *Rules {
	t.Helper()
	r, err := ParseRules(issuer, texts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func systems(t testing.TB) map[string]*system {
	const github, cluster, domain = "https://token.actions.githubusercontent.com", "https://kubernetes.default.svc.cluster.local", "spiffe://example.org"
	iat, exp := testNow.Add(-time.Minute).Unix(), testNow.Add(5*time.Minute).Unix()
	all := map[string]*system{
		"GitHub Actions": {
			Trust{Name: "github", Issuer: github, Audience: site, NameClaim: "repository", Rules: rules(t, github, "claim:repository=octo-org/octo-repo", "claim:ref=refs/heads/main", "claim:environment=prod")},
			map[string]any{
				"jti": "6b7c9f5e-0000-4d1f-9f20-d8b5e2c4a8f1", "sub": "repo:octo-org/octo-repo:environment:prod", "environment": "prod", "aud": site, "ref": "refs/heads/main",
				"sha": "e83c5163316f89bfbde7d9ab23ca2e25604af290", "repository": "octo-org/octo-repo", "repository_owner": "octo-org", "actor_id": "12", "repository_visibility": "private",
				"repository_id": "74", "repository_owner_id": "65", "run_id": "8237", "run_number": "10", "run_attempt": "2", "runner_environment": "github-hosted", "actor": "octocat",
				"workflow": "nightly", "head_ref": "", "base_ref": "", "event_name": "workflow_dispatch", "ref_protected": "true", "ref_type": "branch",
				"job_workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main", "iss": github, "nbf": iat, "exp": exp, "iat": iat,
			}, "workload:github:octo-org/octo-repo", newSigner(t, jose.RS256, "cc413527-173f-5a05-976e-9c52b1d7b431", "JWT"),
		},
		"Kubernetes": {
			Trust{Name: "cluster", Issuer: cluster, Audience: site, NameClaim: "sub", Rules: rules(t, cluster, "claim:kubernetes.io.namespace=prod", "claim:sub=system:serviceaccount:prod:*")},
			map[string]any{
				"aud": []string{site, "vault"}, "exp": testNow.Add(time.Hour).Unix(), "iat": iat, "iss": cluster, "jti": "aed34954-b33a-4142-b1ec-389d6bbb4936",
				"kubernetes.io": map[string]any{
					"namespace": "prod", "node": map[string]any{"name": "node-1", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1"},
					"pod":            map[string]any{"name": "batch-7d9c", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"},
					"serviceaccount": map[string]any{"name": "batch", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"}, "warnafter": exp,
				},
				"nbf": iat, "sub": "system:serviceaccount:prod:batch",
			}, "workload:cluster:system:serviceaccount:prod:batch", newSigner(t, jose.RS256, "cluster-1", ""),
		},
		"SPIFFE": {
			Trust{Name: "mesh", Issuer: domain, Audience: site, NameClaim: "sub", Rules: rules(t, domain, "claim:sub=spiffe://example.org/ns/prod/*")},
			map[string]any{"aud": []string{site}, "exp": exp, "iat": iat, "sub": "spiffe://example.org/ns/prod/sa/batch"},
			"workload:mesh:spiffe://example.org/ns/prod/sa/batch", newSigner(t, jose.ES256, "mesh-1", "JWT"),
		},
	}
	for name, s := range all {
		use := "sig"
		if name == "SPIFFE" {
			use = "jwt-svid"
		}
		set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{s.published(use)}})
		if err != nil {
			t.Fatal(err)
		}
		if s.trust.Keys, err = ParseKeys(string(set)); err != nil {
			t.Fatal(err)
		}
		s.trust.MaxAge = time.Hour
	}
	return all
}

// with returns the claims with some of them changed, or left out where nil.
func (s *system) with(changes map[string]any) map[string]any {
	c := maps.Clone(s.claims)
	for name, value := range changes {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
	return c
}

func verifiers(trusts ...Trust) *Verifiers {
	return New(trusts, egress.New(egress.Options{Loopback: true}), func() time.Time { return testNow })
}

// why returns the reason of a refusal, "" for none.
func why(t testing.TB, vs *Verifiers, token string) string {
	t.Helper()
	_, err := vs.Verify(t.Context(), token)
	if r := (*Refused)(nil); errors.As(err, &r) {
		return r.Reason
	}
	if err != nil {
		t.Fatal(err)
	}
	return ""
}

func TestVouched_C23(t *testing.T) {
	all := systems(t)
	var trusts []Trust
	for _, s := range all {
		trusts = append(trusts, s.trust)
	}
	for name, s := range all {
		got, err := verifiers(trusts...).Verify(t.Context(), s.sign(t, s.claims))
		if err != nil || got.Subject != s.who || got.Kind != "workload:"+s.trust.Name || got.Trust.Name != s.trust.Name {
			t.Errorf("%s: %+v, %v; want %s", name, got.Identity, err, s.who)
		}
		if !s.trust.Method().Valid(got.Identity) || s.trust.Method().SharedProof != got.Proof {
			t.Errorf("%s: the identity is not valid", name)
		}
	}
}

// Each of these fails, and for its own reason.
func TestNotVouched_C24(t *testing.T) {
	for name, s := range systems(t) {
		other := newSigner(t, s.alg, s.id, s.typ)
		at := func(d time.Duration) int64 { return testNow.Add(d).Unix() }
		text, err := json.Marshal(s.claims)
		if err != nil {
			t.Fatal(err)
		}
		for what, tt := range map[string]struct{ token, reason string }{
			"another key of the same kid":           {other.sign(t, s.claims), "signature"},
			"unsigned":                              {unsigned(s.claims), "malformed"},
			"HS256 with the public key":             {symmetric(t, s), "malformed"},
			"another audience":                      {s.sign(t, s.with(map[string]any{"aud": "https://other.example"})), "audience"},
			"an audience that begins alike":         {s.sign(t, s.with(map[string]any{"aud": site + "/"})), "audience"},
			"no audience":                           {s.sign(t, s.with(map[string]any{"aud": nil})), "audience"},
			"expired":                               {s.sign(t, s.with(map[string]any{"exp": at(-time.Minute)})), "expired"},
			"no end":                                {s.sign(t, s.with(map[string]any{"exp": nil})), "expired"},
			"not good yet":                          {s.sign(t, s.with(map[string]any{"nbf": at(time.Minute)})), "not_yet"},
			"made in the future":                    {s.sign(t, s.with(map[string]any{"iat": at(time.Minute)})), "not_yet"},
			"made long ago":                         {s.sign(t, s.with(map[string]any{"iat": at(-2 * time.Hour)})), "too_old"},
			"good for long, from nobody knows when": {s.sign(t, s.with(map[string]any{"iat": nil, "exp": at(48 * time.Hour)})), "too_old"},
			"another issuer":                        {s.sign(t, s.with(map[string]any{"iss": "https://elsewhere.example", "sub": "spiffe://elsewhere.example/x"})), "unknown_issuer"},
			"a claim twice":                         {s.signText(t, `{"aud":"x",`+string(text)[1:]), "malformed"},
			"no object":                             {s.signText(t, `[]`), "malformed"},
			"an access token":                       {(&signer{s.alg, s.key, s.id, "at+jwt"}).sign(t, s.claims), "malformed"},
			"too long":                              {s.sign(t, s.with(map[string]any{"x": strings.Repeat("x", maxTokenLen)})), "malformed"},
			"nothing":                               {"", "malformed"},
			"a good one":                            {s.sign(t, s.claims), ""},
			"a clock that is a bit off":             {s.sign(t, s.with(map[string]any{"iat": at(20 * time.Second), "nbf": at(20 * time.Second)})), ""},
		} {
			if got := why(t, verifiers(s.trust), tt.token); got != tt.reason {
				t.Errorf("%s: %s: refused for %q, want %q", name, what, got, tt.reason)
			}
		}
	}
}

func unsigned(claims map[string]any) string {
	payload, _ := json.Marshal(claims) //nolint:errchkjson // of texts
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
}

// symmetric signs with the public key as a shared secret.
func symmetric(t testing.TB, s *system) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(s.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	by, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: der}, (&jose.SignerOptions{}).WithHeader("kid", s.id))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(s.claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := by.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Whom the rules do not choose is refused, whatever else the token says.
func TestNotAllowed_C24(t *testing.T) {
	all := systems(t)
	for name, changes := range map[string][]map[string]any{
		"GitHub Actions": {
			{"repository": "octo-org/other"}, {"repository": "octo-org/octo-repo-fork"}, {"repository": "Octo-Org/octo-repo"}, {"repository": nil}, {"repository": true},
			{"ref": "refs/heads/evil"}, {"ref": "refs/pull/1/merge"}, {"environment": nil}, {"environment": ""}, {"repository": map[string]any{"octo-org/octo-repo": 1}},
		},
		"Kubernetes": {
			{"kubernetes.io": map[string]any{"namespace": "dev"}}, {"kubernetes.io": nil}, {"kubernetes.io": "namespace"}, {"kubernetes.io.namespace": "dev"},
			{"sub": "system:serviceaccount:prod:"}, {"sub": "system:serviceaccount:prodx:batch"},
		},
		"SPIFFE": {{"sub": "spiffe://example.org/ns/dev/sa/batch"}},
	} {
		s := all[name]
		for _, change := range changes {
			if got := why(t, verifiers(s.trust), s.sign(t, s.with(change))); got != "not_allowed" {
				t.Errorf("%s with %v: refused for %q", name, change, got)
			}
		}
	}
	mesh := all["SPIFFE"]
	for _, sub := range []string{
		"spiffe://example.org.evil/ns/prod/sa/batch", "spiffe://example.orgx/ns/prod/x", "spiffe://example.org", "https://example.org/ns/prod/x", "SPIFFE://example.org/ns/prod/x",
	} {
		if got := why(t, verifiers(mesh.trust), mesh.sign(t, mesh.with(map[string]any{"sub": sub}))); got != "unknown_issuer" {
			t.Errorf("sub %s: refused for %q", sub, got)
		}
	}
	for _, sub := range []string{"spiffe://example.org/ns/prod/../dev/sa/x", "spiffe://example.org/ns/prod/sa/", "spiffe://example.org/ns/prod//x", "spiffe://example.org/ns/prod/x?y", "spiffe://example.org/ns/prod/x y"} {
		if got := why(t, verifiers(mesh.trust), mesh.sign(t, mesh.with(map[string]any{"sub": sub}))); got != "malformed" {
			t.Errorf("sub %s: refused for %q", sub, got)
		}
	}
}

// What tells a workload from others is a text that an operator sees all of.
func TestNamesOfWorkloads_C24(t *testing.T) {
	s := systems(t)["GitHub Actions"]
	s.trust.Rules = rules(t, s.trust.Issuer, "claim:repository_owner=octo-org", "claim:ref=refs/heads/main", "claim:ref=null")
	for name, value := range map[string]any{
		"none": nil, "empty": "", "a number": 7, "a list": []string{"octo-org/octo-repo"}, "blanks around": " octo-org/octo-repo", "a line break": "octo-org/octo-repo\n",
		"not visible": "octo-org/octo\u200b-repo", "turned around": "octo-org/\u202eoctorepo", "long": strings.Repeat("x", maxSubject+1),
	} {
		if got := why(t, verifiers(s.trust), s.sign(t, s.with(map[string]any{"repository": value}))); got != "no_name" {
			t.Errorf("%s: refused for %q", name, got)
		}
	}
	for name, payload := range map[string]string{"nothing": `null`, "in a list": `[null]`} { // is no text that reads so
		if got := why(t, verifiers(s.trust), s.sign(t, s.with(map[string]any{"ref": json.RawMessage(payload)}))); got != "not_allowed" {
			t.Errorf("a claim that is %s: refused for %q", name, got)
		}
	}
}

// One issuer's keys are good for its own tokens.
func TestKeysOfAnotherIssuer_C24(t *testing.T) {
	all := systems(t)
	github, cluster := all["GitHub Actions"], all["Kubernetes"]
	for _, kid := range []string{github.id, cluster.id, ""} {
		forged := (&signer{cluster.alg, cluster.key, kid, "JWT"}).sign(t, github.claims)
		if got := why(t, verifiers(github.trust, cluster.trust), forged); got != "signature" {
			t.Errorf("signed by the other issuer, kid %q: refused for %q", kid, got)
		}
	}
	cluster.trust.Issuer, cluster.trust.Keys = github.trust.Issuer, github.trust.Keys
	if got := why(t, verifiers(github.trust, cluster.trust), github.sign(t, github.claims)); got != "" {
		t.Errorf("with a second trust of the same issuer: refused for %q", got)
	}
}

// What a trust rests on is in its identities: with another, they are not valid.
func TestTrustChanged_C24(t *testing.T) {
	s := systems(t)["GitHub Actions"]
	got, err := verifiers(s.trust).Verify(t.Context(), s.sign(t, s.claims))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Trust){
		"issuer":    func(t *Trust) { t.Issuer = "https://elsewhere.example" },
		"audience":  func(t *Trust) { t.Audience = "x" },
		"keys":      func(tr *Trust) { tr.Keys = systems(t)["Kubernetes"].trust.Keys },
		"rules":     func(tr *Trust) { tr.Rules = rules(t, tr.Issuer, "claim:repository=octo-org/octo-repo") },
		"name":      func(t *Trust) { t.NameClaim = "sub" },
		"keys' URL": func(t *Trust) { t.JWKSURI = "https://elsewhere.example/keys" },
	} {
		changed := s.trust
		change(&changed)
		if changed.Method().SharedProof == got.Proof {
			t.Errorf("%s: the identity is as good as before", name)
		}
	}
	limited := s.trust
	limited.Servers = []string{"wiki"}
	m := limited.Method()
	if !m.MayUse(got.Identity, "wiki") || m.MayUse(got.Identity, "other") || !m.Lists(got.Identity, "wiki") || m.Basis == s.trust.Method().Basis {
		t.Error("its servers do not limit it")
	}
}

func TestParseRules_C25(t *testing.T) {
	const github, cluster, mesh = "https://token.actions.githubusercontent.com", "https://kubernetes.default.svc", "spiffe://example.org"
	for _, tt := range []struct {
		issuer string
		texts  []string
		want   string // of the error; "" for none
	}{
		{github, nil, "anybody can have tokens"},
		{github, []string{"claim:ref=refs/heads/main"}, "anybody can have tokens"},
		{github, []string{"claim:job_workflow_ref=octo-org/x/.github/workflows/y.yml@main"}, "anybody can have tokens"},
		{github, []string{"claim:sub=repo:*"}, "anybody can have tokens"},
		{github, []string{"claim:repository=octo-org/app", "claim:repository=*"}, "a star stands for"},
		{github, []string{"claim:sub=repo:octo-org/app:*", "claim:sub=repo:*"}, "anybody can have tokens"},
		{github, []string{"claim:sub=repo:octo-org/app:*"}, ""},
		{github, []string{"claim:repository=octo-org/*", "claim:ref=refs/heads/main"}, ""},
		{github, []string{"claim:repository_owner_id=65"}, ""},
		{github, []string{"claim:repository=octo*"}, "a star stands for"},
		{github, []string{"claim:repository=*/app"}, "a star stands for"},
		{github, []string{"claim:iss=" + github}, "says nothing of a workload"},
		{github, []string{"claim:aud=x"}, "says nothing of a workload"},
		{github, []string{"group:staff"}, "is chosen by claims"},
		{github, []string{"claim:repository"}, "a name and a value"},
		{github, []string{"claim:=x"}, "a name and a value"},
		{cluster, nil, "whom to trust is missing"},
		{cluster, []string{"claim:sub=system:serviceaccount:*"}, "whom to trust is missing"},
		{cluster, []string{"claim:sub=system:serviceaccount:prod:*"}, ""},
		{mesh, []string{"claim:sub=spiffe://example.org/*"}, "whom to trust is missing"},
		{cluster, []string{"claim:sub=system:*"}, "whom to trust is missing"},
		{cluster, []string{"claim:sub=system:serviceaccount:prod:batch", "claim:sub=system:*"}, "whom to trust is missing"},
		{cluster, []string{"claim:x=https://*"}, "whom to trust is missing"},
		{mesh, []string{"claim:sub=spiffe://example.org/ns/prod/*"}, ""},
		{mesh, []string{"claim:sub=spiffe://example.com/ns/prod/*"}, "not in the trust domain, so no token that is accepted has it; write claim:sub=spiffe://example.org/…"},
		{mesh, []string{"claim:sub=spiffe://example.org/ns/prod/*", "claim:sub=spiffe://example.org.evil/x"}, "not in the trust domain"},
		{mesh, []string{"claim:sub=spiffe://*"}, "whom to trust is missing"},
		{mesh, []string{"claim:sub=spiffe:*"}, "whom to trust is missing"},
		{"https://spire.example.org", []string{"claim:sub=spiffe:/*"}, "whom to trust is missing"},
		{"https://spire.example.org", []string{"claim:sub=spiffe://*"}, "whom to trust is missing"},
		{"https://spire.example.org", []string{"claim:sub=spiffe://example.org/*"}, "whom to trust is missing"},
		{"https://spire.example.org", []string{"claim:sub=spiffe://example.org/prod/*"}, ""},
		{"https://spire.example.org/", []string{"claim:sub=https://spire.example.org/*"}, "whom to trust is missing"},
		{github + "/", nil, "without a slash at the end"},
		{github + "/", []string{"claim:sub=repo:*"}, "without a slash at the end"},
		{github + "/", []string{"claim:sub=repo:octo-org/app:*"}, "without a slash at the end"},
		{"https://GitLab.com", []string{"claim:sub=project_path:*"}, "write it exactly so"},
	} {
		_, err := ParseRules(tt.issuer, tt.texts)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %q: %v, want %q", tt.issuer, tt.texts, err, tt.want)
		}
	}
}

// Keys are where the metadata of the issuer says, and are found when they are new.
func TestDiscovery_C25(t *testing.T) {
	host := oauthtest.NewHost(t)
	s := systems(t)["Kubernetes"]
	clock := oauthtest.NewClock(testNow)
	publish := func(signer *signer) {
		set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{signer.published("sig")}})
		if err != nil {
			t.Fatal(err)
		}
		host.Publish("/keys", string(set))
	}
	publish(s.signer)
	host.Publish("/.well-known/openid-configuration", `{"issuer":"`+host.URL+`","jwks_uri":"`+host.URL+`/keys"}`)
	s.trust.Keys, s.trust.Issuer, s.claims["iss"] = nil, host.URL, host.URL
	vs := New([]Trust{s.trust}, egress.New(egress.Options{Loopback: true}), clock.Now)
	if got := why(t, vs, s.sign(t, s.claims)); got != "" {
		t.Fatalf("refused for %q", got)
	}
	next := newSigner(t, jose.RS256, "cluster-2", "")
	publish(next)
	if got := why(t, vs, next.sign(t, s.claims)); got != "signature" {
		t.Errorf("at once after it was asked: refused for %q", got)
	}
	before := host.Hits()
	for range 100 {
		why(t, vs, newSigner(t, jose.ES256, "made up", "").sign(t, s.claims))
	}
	if host.Hits() != before {
		t.Errorf("made up keys were looked for %d times", host.Hits()-before)
	}
	clock.Advance(2 * time.Minute)
	if got := why(t, vs, next.sign(t, s.claims)); got != "" {
		t.Errorf("a new key: refused for %q", got)
	}
	for name, metadata := range map[string]string{
		"of another":         `{"issuer":"https://elsewhere.example","jwks_uri":"` + host.URL + `/keys"}`,
		"with a slash more":  `{"issuer":"` + host.URL + `/","jwks_uri":"` + host.URL + `/keys"}`,
		"without keys":       `{"issuer":"` + host.URL + `"}`,
		"without an address": `{"issuer":"` + host.URL + `","jwks_uri":"file:///etc/passwd"}`,
	} {
		host.Publish("/.well-known/openid-configuration", metadata)
		_, err := New([]Trust{s.trust}, egress.New(egress.Options{Loopback: true}), clock.Now).Verify(t.Context(), next.sign(t, s.claims))
		if r := (*Refused)(nil); err == nil || errors.As(err, &r) {
			t.Errorf("metadata %s: %v", name, err)
		}
	}
	host.Page("/.well-known/openid-configuration", oauthtest.Answer(http.StatusBadGateway, "text/html", ""))
	if got := why(t, vs, next.sign(t, s.claims)); got != "" {
		t.Errorf("while the issuer does not answer: refused for %q", got)
	}
}

func FuzzVerify(f *testing.F) {
	all := systems(f)
	var trusts []Trust
	for _, s := range all {
		trusts = append(trusts, s.trust)
		f.Add(s.sign(f, s.claims))
		f.Add(unsigned(s.claims))
	}
	vs := verifiers(trusts...)
	good := map[string]bool{}
	for _, s := range all {
		good[s.who] = true
	}
	f.Fuzz(func(t *testing.T, token string) {
		if got, err := vs.Verify(t.Context(), token); err == nil && !good[got.Subject] {
			t.Errorf("%q is %s", token, got.Subject)
		}
	})
}
