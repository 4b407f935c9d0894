package caddymodule

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/cli"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/presets"
)

// printed runs `caddy mcp-oauth` with the arguments, and returns what it prints.
func printed(args ...string) (out, problems string, err error) {
	var stdout, stderr bytes.Buffer
	cmd := &cobra.Command{SilenceErrors: true, SilenceUsage: true}
	cli.Add(cmd)
	cmd.SetArgs(args)
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	err = cmd.Execute()
	return stdout.String(), stderr.String(), err
}

// What `add` prints for a server is a block with which the site works: people connect
// their accounts there, and calls carry them.
func TestAdd(t *testing.T) {
	metadata := func(name string, value any) func(*service) {
		return func(s *service) {
			s.provider.Page(oauthtest.ProviderMetadataPath, oauthtest.Document(oauthtest.With(s.provider.Metadata(), name, value)))
		}
	}
	for _, test := range []struct {
		name   string
		change func(*service)
		// want is the block, with $SERVER and $PROVIDER for their addresses.
		want string
		// needs is a part of what there is to do besides.
		needs string
		works bool
	}{
		{
			name: "an account of each person", change: func(*service) {}, works: true,
			want: "server notion /mcp $SERVER/mcp {\n\tauth per_user_oauth {\n\t\tissuer $PROVIDER\n\t}\n}\n",
		},
		{
			name: "no promise of PKCE", change: metadata("code_challenge_methods_supported", nil), works: true,
			want: "server notion /mcp $SERVER/mcp {\n\tauth per_user_oauth {\n\t\tissuer $PROVIDER\n\t\tallow_missing_pkce\n\t}\n}\n",
		},
		{
			name: "an application to be registered", change: metadata("registration_endpoint", nil), needs: "NOTION_CLIENT_SECRET in the environment",
			want: "server notion /mcp $SERVER/mcp {\n\tauth per_user_oauth {\n\t\tissuer $PROVIDER\n\t\t# Register an application at $PROVIDER\n" +
				"\t\tclient_id {env.NOTION_CLIENT_ID}\n\t\tclient_secret {env.NOTION_CLIENT_SECRET}\n\t\tcallback_path /api/oauth/callback/notion\n\t}\n}\n",
		},
		{
			name: "another name of itself", works: true, needs: "check that this is the server you mean", change: func(s *service) {
				s.Page(oauthtest.ResourceMetadataPath, oauthtest.Document(oauthtest.With(s.Metadata(), "resource", "https://notes.example.com/mcp")))
			},
			want: "server notion /mcp $SERVER/mcp {\n\tauth per_user_oauth {\n\t\tissuer $PROVIDER\n\t\t# The server calls itself so.\n" +
				"\t\tresource https://notes.example.com/mcp\n\t}\n}\n",
		},
		{
			name: "a provider that names itself otherwise", works: true, change: func(s *service) {
				s.Page(oauthtest.ResourceMetadataPath, oauthtest.Document(oauthtest.With(s.Metadata(), "authorization_servers", []string{s.provider.URL + "/tenant"})))
				m := s.provider.Metadata()
				s.provider.Page(oauthtest.ProviderMetadataPath+"/tenant", oauthtest.Document(m))
			},
			want: "server notion /mcp $SERVER/mcp {\n\tauth per_user_oauth {\n\t\tissuer $PROVIDER\n\t}\n}\n",
		},
		{
			name: "no sign-in", change: func(s *service) { s.Page(oauthtest.MCPPath, oauthtest.SessionServer) },
			want: "server notion /mcp $SERVER/mcp\n",
		},
		{
			name: "a key", needs: "it wants a key", change: func(s *service) {
				s.Page(oauthtest.ResourceMetadataPath, nil)
				s.Page(oauthtest.MCPPath, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
			},
			want: "server notion /mcp $SERVER/mcp {\n\t# Each person pastes a key of their own. For one key for everybody:\n\t#\tauth headers {\n" +
				"\t#\t\tAuthorization \"Bearer {env.NOTION_KEY}\"\n\t#\t}\n\tauth per_user_headers\n}\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("NOTION_CLIENT_ID", "our-client")
			t.Setenv("NOTION_CLIENT_SECRET", "our-secret-of-notion-0123456789")
			notion := newService(t)
			test.change(notion)
			block, problems, err := printed("add", notion.URL+"/mcp", "--name", "notion", "--path", "/mcp")
			want := strings.NewReplacer("$SERVER", notion.URL, "$PROVIDER", notion.provider.URL).Replace(test.want)
			if block != want {
				t.Fatalf("printed\n%s%s\nwant\n%s", block, problems, want)
			}
			if (err != nil) != (test.needs != "") || !strings.Contains(problems, test.needs) {
				t.Errorf("error %v, and said %q; want %q", err, problems, test.needs)
			}
			g := newGateway(t, people("alice")+block)
			if !test.works {
				return
			}
			alice := g.person("alice")
			alice.connect("notion")
			alice.wantAccount("alice")
		})
	}
}

// What cannot be put behind a site is no block, and says why.
func TestAddRefused(t *testing.T) {
	notMCP := oauthtest.Serve(t, nil)
	injecting := newService(t)
	injecting.Page(oauthtest.ResourceMetadataPath, oauthtest.Document(oauthtest.With(injecting.Metadata(), "resource", "https://notes.example.com/}\nrespond {")))
	for _, test := range []struct{ name, url, want, block string }{
		{"nobody there", "http://" + freeAddr(t) + "/mcp", "does not answer", ""},
		{"no MCP server", notMCP.URL + "/mcp", "no MCP endpoint", ""},
		{"no URL", "notes.example.com", "starts with https://", ""},
		{"more than a name", injecting.URL + "/mcp", "is for another resource", "auth per_user_oauth\n}\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			block, problems, err := printed("add", test.url)
			if err == nil || !strings.Contains(problems, test.want) {
				t.Errorf("error %v, and said %q; want %q", err, problems, test.want)
			}
			if !strings.HasSuffix(block, test.block) || test.block == "" && block != "" || strings.Contains(block, "respond") {
				t.Errorf("printed %q, want %q", block, test.block)
			}
		})
	}
}

// A service that has a preset is written as such.
func TestAddPreset(t *testing.T) {
	const github = "server github {\n\t# Register an application at https://github.com/settings/developers\n\tauth per_user_oauth {\n" +
		"\t\tclient_id {env.GITHUB_CLIENT_ID}\n\t\tclient_secret {env.GITHUB_CLIENT_SECRET}\n\t}\n}\n"
	for _, test := range []struct {
		args  []string
		want  string
		needs string
	}{
		{[]string{"https://mcp.notion.com/mcp"}, "server notion\n", ""},
		{[]string{"https://MCP.notion.com/mcp/"}, "server notion\n", ""},
		{[]string{"linear", "--path", "/mcp"}, "server linear /mcp\n", ""},
		{[]string{"notion", "--name", "office"}, "server office /office/mcp notion\n", ""},
		{[]string{"https://api.githubcopilot.com/mcp/"}, github, "/api/oauth/callback/github as its callback URL"},
	} {
		block, problems, err := printed(append([]string{"add"}, test.args...)...)
		if block != test.want || (err != nil) != (test.needs != "") || !strings.Contains(problems, test.needs) {
			t.Errorf("%v: printed %q, error %v, and said %q; want %q, %q", test.args, block, err, problems, test.want, test.needs)
		}
	}
	for _, p := range presets.All() {
		block, _, _ := printed("add", p.Name)
		got := adapt(t, "mcp.example.com {\nmcp_oauth {\nidentity anonymous\n"+block+"}\n}\n")
		if !strings.Contains(got, `"upstream": "`+p.URL+`"`) {
			t.Errorf("%s adapts to\n%s", block, got)
		}
	}
}
