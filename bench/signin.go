package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
)

const (
	endpoints   = "/api/oauth/per-user/"
	redirectURI = "http://127.0.0.1/callback"
)

// person is an MCP client together with the browser of whoever uses it, on one
// connection.
type person struct {
	*conn
	host string
	name string // empty for nobody in particular
	key  string // of whoever has a name
	// client and tokens are those of a sign-in that goes on.
	client string
	tokens tokens
	grants int // that are refreshed by turns
	// steps counts HTTP requests, after each of which afterStep is called.
	steps     int
	afterStep func()
}

// newPerson is one of those who sign in at the gate.
func newPerson(g *gateway, number int) (*person, error) { return g.newPersonAt(g.gate, number) }

// newPersonAt is the same at another site.
func (g *gateway) newPersonAt(host string, number int) (*person, error) {
	p, err := newVisitor(host)
	if err == nil && g.people > 0 {
		p.name, p.key = nameOf(number%g.people), keyOf(number%g.people)
	}
	return p, err
}

// newVisitor is nobody in particular.
func newVisitor(host string) (*person, error) {
	c, err := dial(host)
	if err != nil {
		return nil, err
	}
	return &person{conn: c, host: host}, nil
}

// tokens is a token response.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

// signInMany registers a client at a site and signs in n times.
func (g *gateway) signInMany(site string, n int) ([]string, error) {
	p, err := g.newPersonAt(site, 0)
	if err != nil {
		return nil, err
	}
	defer p.close()
	client, err := p.register()
	if err != nil {
		return nil, err
	}
	access := make([]string, n)
	for i := range access {
		t, err := p.signIn(client)
		if err != nil {
			return nil, err
		}
		access[i] = t.Access
	}
	return access, nil
}

// register registers a public client and returns its id.
func (p *person) register() (string, error) {
	const metadata = `{"client_name":"bench","redirect_uris":["` + redirectURI + `"],` +
		`"grant_types":["authorization_code","refresh_token"],"token_endpoint_auth_method":"none"}`
	a, err := p.send("POST", endpoints+"register", "application/json", "", metadata, 201)
	if err != nil {
		return "", err
	}
	var client struct {
		ID string `json:"client_id"`
	}
	err = json.Unmarshal(a.body, &client)
	return client.ID, err
}

// signIn walks from the authorization request to the tokens, as client and as
// browser: six requests.
func (p *person) signIn(client string) (tokens, error) {
	verifier := rand.Text() + rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	a, err := p.send("GET", endpoints+"authorize?"+url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {redirectURI}, "state": {"s"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
		"resource": {"http://" + p.host + "/mcp"},
	}.Encode(), "", "", "", 302)
	if err != nil {
		return tokens{}, err
	}
	cookie, _, _ := bytes.Cut(a.header("Set-Cookie"), []byte(";"))
	browser := string(cookie)

	page := string(a.header("Location"))
	identify := "skip"
	if p.key != "" {
		identify = "vk"
	}
	for _, form := range []string{identify, "submit"} {
		if a, err = p.send("GET", page, "", browser, "", 200); err != nil {
			return tokens{}, err
		}
		if form == "submit" && bytes.Contains(a.body, []byte(connectForm)) {
			if browser, a, err = p.connect(a.body, browser); err != nil {
				return tokens{}, err
			}
		}
		fields, err := formFields(a.body, endpoints+"consent/"+form)
		if err != nil {
			return tokens{}, err
		}
		if form == "vk" {
			fields.Set("vk", p.key)
		}
		if a, err = p.send("POST", endpoints+"consent/"+form, formType, browser, fields.Encode(), 303); err != nil {
			return tokens{}, err
		}
		page = string(a.header("Location"))
	}
	back, err := url.Parse(page)
	if err != nil {
		return tokens{}, err
	}
	return p.token(url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "code_verifier": {verifier},
		"client_id": {client}, "redirect_uri": {redirectURI},
	})
}

// refresh exchanges a refresh token.
func (p *person) refresh(client, token string) (tokens, error) {
	return p.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {client}})
}

// revoke ends a grant by its refresh token.
func (p *person) revoke(client, token string) error {
	_, err := p.send("POST", endpoints+"revoke", formType, "", url.Values{"token": {token}, "client_id": {client}}.Encode(), 200)
	return err
}

// call sends a tools/call.
func (p *person) call(token string, want int) error {
	a, err := p.do(call(p.host, token))
	if err == nil && a.status != want {
		err = fmt.Errorf("a call was answered %d, not %d: %.300s", a.status, want, a.body)
	}
	return err
}

func (p *person) token(form url.Values) (tokens, error) {
	a, err := p.send("POST", endpoints+"token", formType, "", form.Encode(), 200)
	if err != nil {
		return tokens{}, err
	}
	var t tokens
	if err := json.Unmarshal(a.body, &t); err != nil {
		return tokens{}, err
	}
	if t.Access == "" || t.Refresh == "" {
		return tokens{}, fmt.Errorf("a token response without tokens: %.300s", a.body)
	}
	return t, nil
}

const formType = "application/x-www-form-urlencoded"

func (p *person) send(method, target, contentType, cookie, body string, want int) (answer, error) {
	request := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\n", method, target, p.host)
	if cookie != "" {
		request = fmt.Appendf(request, "Cookie: %s\r\n", cookie)
	}
	if method == "POST" {
		request = fmt.Appendf(request, "Content-Type: %s\r\nContent-Length: %d\r\n", contentType, len(body))
	}
	request = fmt.Appendf(request, "\r\n%s", body)
	a, err := p.do(request)
	p.steps++
	if p.afterStep != nil {
		p.afterStep()
	}
	if err == nil && a.status != want {
		err = fmt.Errorf("%s %.60s answered %d, not %d: %.300s", method, target, a.status, want, a.body)
	}
	return a, err
}

// formFields returns what a browser would send for the form with the action
// if the person only pressed its first button.
func formFields(page []byte, action string) (url.Values, error) {
	_, form, ok := bytes.Cut(page, []byte(`action="`+action+`"`))
	if !ok {
		return nil, fmt.Errorf("the page has no form for %s: %.300s", action, page)
	}
	form, _, _ = bytes.Cut(form, []byte("</form>"))
	fields := url.Values{}
	if _, button, ok := bytes.Cut(form, []byte("<button name=")); ok {
		button, _, _ = bytes.Cut(button, []byte(">"))
		fields.Add(attribute(append([]byte("name="), button...), "name"), attribute(button, "value"))
	}
	for {
		_, rest, ok := bytes.Cut(form, []byte("<input "))
		if !ok {
			return fields, nil
		}
		var input []byte
		input, form, _ = bytes.Cut(rest, []byte(">"))
		kind := attribute(input, "type")
		if kind == "hidden" || kind == "checkbox" && bytes.Contains(input, []byte(" checked")) {
			fields.Add(attribute(input, "name"), attribute(input, "value"))
		}
	}
}

func attribute(tag []byte, name string) string {
	_, rest, _ := bytes.Cut(tag, []byte(name+`="`))
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return html.UnescapeString(string(value))
}
