package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// upstreamCredential is what both sites put on the way to the MCP server,
// which refuses a call without it: no number here comes from a proxy that
// forgot to inject.
const upstreamCredential = "Bearer upstream-credential-of-the-benchmark"

// serveUpstream is the MCP server of the benchmark: a POST is answered with
// 1,024 bytes of JSON, a GET with a stream whose first event comes at once and
// whose second never does. It ends with its standard input, hence with its
// parent.
func serveUpstream() error {
	without := net.ListenConfig{KeepAlive: -1} // as in dial
	l, err := without.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	answer := jsonOfSize(1024)
	mux := http.NewServeMux()
	mux.HandleFunc("/authorize", agree)
	mux.HandleFunc("/token", issue)
	mux.HandleFunc("/mcp", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != upstreamCredential {
			http.Error(w, "no credential", http.StatusUnauthorized)
			return
		}
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "event: message\ndata: {}\n\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println(l.Addr())
	return http.Serve(l, mux)
}

// agree and issue are the provider of those who connect an account: everybody
// agrees, and is issued the one credential.
func agree(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {"code"}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
}

func issue(w http.ResponseWriter, _ *http.Request) {
	token, _ := strings.CutPrefix(upstreamCredential, "Bearer ")
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":86400,"refresh_token":"refresh"}`, token)
}

// jsonOfSize returns the answer of a tool that is exactly size bytes long.
func jsonOfSize(size int) []byte {
	const head, tail = `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"`, `"}]}}`
	return []byte(head + string(bytes.Repeat([]byte("x"), size-len(head)-len(tail))) + tail)
}
