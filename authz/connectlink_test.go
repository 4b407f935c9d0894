package authz

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestConnectLink_D22_D23(t *testing.T) {
	l := newLab(t)
	link := l.as.ConnectURL("user_id:alice@example.com", "notion", "pages.delete")
	ticket, ours := strings.CutPrefix(link, labIssuer+"/oauth/connect/")
	if !ours || strings.ContainsAny(ticket, "/?#%.") {
		t.Fatalf("link = %q", link)
	}
	if again := l.as.ConnectURL("user_id:alice@example.com", "notion", "pages.delete"); again == link {
		t.Error("two links are the same")
	}
	got, err := l.as.OpenConnectLink(ticket)
	if err != nil || got.Subject != "user_id:alice@example.com" || got.Server != "notion" || !slices.Equal(got.Scopes, []string{"pages.delete"}) {
		t.Errorf("OpenConnectLink = %+v, %v", got, err)
	}
	l.advance(15*time.Minute - time.Second)
	if _, err := l.as.OpenConnectLink(ticket); err != nil {
		t.Errorf("ended early: %v", err)
	}
	l.advance(time.Second)
	if got, err := l.as.OpenConnectLink(ticket); !errors.Is(err, ErrLinkExpired) || got.Server != "notion" {
		t.Errorf("expired: %+v, %v", got, err)
	}
}

func TestConnectLinkForged(t *testing.T) {
	l := newLab(t)
	ticket := strings.TrimPrefix(l.as.ConnectURL("user_id:alice", "notion"), labIssuer+ConnectPath)
	flipped := []byte(ticket)
	flipped[len(flipped)/2] ^= 1
	for name, forged := range map[string]string{
		"empty": "", "text": "ticket", "not base64": "%%%", "cut": ticket[:len(ticket)-4], "flipped": string(flipped),
		"a flow": l.begin(request()).flowID,
	} {
		t.Run(name, func(t *testing.T) {
			if link, err := l.as.OpenConnectLink(forged); !errors.Is(err, ErrLinkInvalid) || link != nil {
				t.Errorf("OpenConnectLink = %v, %v", link, err)
			}
		})
	}
	if _, err := l.as.OpenFlow(l.begin(request()).get(), ticket); !errors.Is(err, ErrFlowInvalid) {
		t.Errorf("as a flow: %v", err)
	}
	l.reload(func(c *Config) { c.Issuer = "https://other.example" })
	if _, err := l.as.OpenConnectLink(ticket); !errors.Is(err, ErrLinkInvalid) {
		t.Errorf("another issuer with the same keys: %v", err)
	}
}
