//go:build integration

package integration_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// Revision 2026-07-28: the call of somebody who disconnected the server is
// answered with a link; when the client asks again, it succeeds.
func TestConnectAtRunTimeInputRequired(t *testing.T) {
	w := runOwn(t, time.Minute, "")
	for path := range w.servers {
		who := residents(t)[0]
		links := 0
		token := w.signIn(t, who, path).AccessToken
		session := connect(t, with(token, w.URL+path), opensURLs(func(link string) {
			links++
			who.connect(t, link, titles[path])
		}), "2026-07-28")
		mustBe(t, session, who.account)
		who.disconnect(t, w.URL)
		mustBe(t, session, who.account)
		if links != 1 {
			t.Errorf("the person was shown %d links, want one", links)
		}
		who.disconnect(t, w.URL)
	}
}

// Revision 2025-11-25: the call is refused with the error -32042 and a link, and
// the client is told when its person connected the server. The MCP session ended
// with the connection (P-11); a new one works.
func TestConnectAtRunTimeURLElicitationRequired_P11(t *testing.T) {
	w := runOwn(t, time.Minute, "")
	who := residents(t)[1]
	token := w.signIn(t, who, "/notes").AccessToken
	options := opensURLs(func(string) { t.Error("the client was asked by the server") })
	complete := make(chan string, 1)
	options.ElicitationCompleteHandler = func(_ context.Context, r *mcp.ElicitationCompleteNotificationRequest) {
		complete <- r.Params.ElicitationID
	}
	session := connect(t, with(token, w.URL+"/notes"), options, "2025-11-25")
	mustBe(t, session, who.account)
	who.disconnect(t, w.URL)

	_, _, err := callWhoAmI(t, session)
	var refused *jsonrpc.Error
	var data struct{ Elicitations []mcp.ElicitParams }
	if !errors.As(err, &refused) || refused.Code != mcp.CodeURLElicitationRequired {
		t.Fatalf("%v, want error %d", err, mcp.CodeURLElicitationRequired)
	}
	if err := json.Unmarshal(refused.Data, &data); err != nil || len(data.Elicitations) != 1 {
		t.Fatalf("%v in %s", err, refused.Data)
	}
	who.connect(t, data.Elicitations[0].URL, "Notes")
	select {
	case id := <-complete:
		if want := data.Elicitations[0].ElicitationID; id != want {
			t.Errorf("told that %q is complete, want %q", id, want)
		}
	case <-time.After(10 * time.Second):
		t.Error("the client is not told that its person connected the server")
	}
	if _, _, err := callWhoAmI(t, session); !errors.Is(err, mcp.ErrSessionMissing) {
		t.Errorf("the session of the connection that was ended: %v", err)
	}
	mustBe(t, connect(t, with(token, w.URL+"/notes"), options, "2025-11-25"), who.account)
}

// Clients that know no elicitation are led back to the authorization page:
// with 403 and the scope of the connection if their revision has that, else
// with 401. There the person connects.
func TestConnectAtRunTimeThroughAuthorization(t *testing.T) {
	w := runOwn(t, time.Minute, "")
	for revision, asksFor := range map[string]string{"2025-11-25": "connect:issues", "2025-06-18": ""} {
		t.Run(revision, func(t *testing.T) {
			who := residents(t)[2]
			var scopes []string // of each visit to the authorization page
			handler, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
				DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{
					Metadata: &oauthex.ClientRegistrationMetadata{RedirectURIs: []string{"http://127.0.0.1:9/callback"}},
				},
				AuthorizationCodeFetcher: func(_ context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
					link, err := url.Parse(args.URL)
					if err != nil {
						return nil, err
					}
					scopes = append(scopes, link.Query().Get("scope"))
					var page *oauthtest.Page
					if len(scopes) == 1 { // they do not connect anything at first
						page = who.browser.SignIn(t, args.URL, who.Person)
					} else {
						page = who.approve(t, args.URL, "Issues")
					}
					answer := page.Leaving.Query()
					return &auth.AuthorizationResult{Code: answer.Get("code"), State: answer.Get("state"), Iss: answer.Get("iss")}, nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			transport := &mcp.StreamableClientTransport{Endpoint: w.URL + "/issues", OAuthHandler: handler}
			client := mcp.NewClient(&mcp.Implementation{Name: "integration-test", Version: "1"}, nil)
			if _, err := client.Connect(t.Context(), transport, &mcp.ClientSessionOptions{ProtocolVersion: revision}); err == nil {
				t.Fatal("a session without a connection")
			}
			mustBe(t, connect(t, transport, nil, revision), who.account)
			if len(scopes) != 2 || !strings.Contains(scopes[1], asksFor) {
				t.Errorf("visits for %q, want a second for %q", scopes, asksFor)
			}
			who.disconnect(t, w.URL)
		})
	}
}

// Who comes with a virtual key has no authorization page. The tool answers with
// the link, in words for the model; opened by somebody else it connects nothing.
func TestConnectAtRunTimeToolResult(t *testing.T) {
	w := runOwn(t, time.Minute, "")
	people := residents(t)
	who, other := people[0], people[1]
	w.signIn(t, who, "/notes")
	w.signIn(t, other, "/issues")
	session := connect(t, with(who.VirtualKey, w.URL+"/notes"), nil, "")
	mustBe(t, session, who.account)
	who.disconnect(t, w.URL)

	_, result, err := callWhoAmI(t, session)
	if err != nil || !result.IsError {
		t.Fatalf("%+v, %v", result, err)
	}
	link := connectLink.FindString(result.Content[0].(*mcp.TextContent).Text)
	if page := other.browser.Open(t, link); page.Status != http.StatusForbidden {
		t.Errorf("somebody else's link: %d, %s", page.Status, page.Text())
	}
	who.connect(t, link, "Notes")
	mustBe(t, session, who.account)
}
