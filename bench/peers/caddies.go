package peers

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// caddy starts a Caddy with one site. global are more lines in the global block.
func (p *Peer) caddy(ctx context.Context, at Place, program, global, site string) (err error) {
	if p.Addr == "" {
		if p.Addr, err = listen(); err != nil {
			return err
		}
	}
	config := filepath.Join(at.Dir, "Caddyfile")
	text := fmt.Sprintf(`{
	admin off
	default_bind 127.0.0.1
	auto_https off
	persist_config off
	storage file_system %s
	log {
		level WARN
	}
	%s
}

http://%s {
	%s
}
`, at.Dir, global, p.Addr, site)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	return p.run(ctx, at, p.Addr, program, "run", "--config", config, "--adapter", "caddyfile")
}

// injecting are the lines of plain Caddy in front of the MCP server.
func (at Place) injecting() string {
	return fmt.Sprintf("reverse_proxy %s {\n\t\theader_up Authorization %q\n\t}", at.Upstream, at.Credential)
}

func startPlain(ctx context.Context, at Place, p *Peer) error {
	p.Tokens = []string{"token"}
	return p.caddy(ctx, at, at.Caddy, "", at.injecting())
}

// startGate starts the gate. Its callers sign in.
func startGate(ctx context.Context, at Place, p *Peer) (err error) {
	if p.Addr, err = listen(); err != nil {
		return err
	}
	p.Registration = "/api/oauth/per-user/register"
	store := fmt.Sprintf("mcp_oauth {\n\t\tstorage bbolt {\n\t\t\tpath %s/mcp_oauth.db\n\t\t}\n\t}", at.Dir)
	return p.caddy(ctx, at, at.Caddy, store, fmt.Sprintf(`mcp_oauth {
		public_url http://%s
		identity anonymous
		registration {
			rate_limit 0
		}
		server bench /mcp http://%s/mcp {
			auth headers {
				Authorization %q
			}
		}
	}`, p.Addr, at.Upstream, at.Credential))
}

// startCaddySecurity starts a Caddy that verifies JWTs, which it has a key for.
func startCaddySecurity(ctx context.Context, at Place, p *Peer) error {
	const key = "01ee2688-36e4-47f9-8c06-d18483702520-of-the-benchmark"
	for i := range at.Callers {
		token, err := signHS512([]byte(key), claims{
			"iss": "https://bench.example", "sub": fmt.Sprint("caller-", i), "roles": []string{"authp/user"},
			"iat": time.Now().Unix(), "exp": time.Now().Add(24 * time.Hour).Unix(), "jti": fmt.Sprint(i),
		})
		if err != nil {
			return err
		}
		p.Tokens = append(p.Tokens, token)
	}
	return p.caddy(ctx, at, at.Programs["caddy-security"], fmt.Sprintf(`security {
		authorization policy bench {
			crypto key verify %s
			disable auth redirect
			allow roles authp/user
			validate bearer header
		}
	}`, key), "route {\n\t\tauthorize with bench\n\t\t"+at.injecting()+"\n\t}")
}
