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
	"strconv"
	"strings"
)

// upstreamCredential is what both sites put on the way to the MCP server,
// which refuses a call without it: no number here comes from a proxy that
// forgot to inject.
const upstreamCredential = "Bearer upstream-credential-of-the-benchmark"

// upstreamSession is the session that the MCP server opens for whoever asks; it
// knows no other.
const upstreamSession = "1868a90c-5f3b-4a4e-9d2c-7b1f0e6d8a35"

// openBody opens a session, largeBody asks for an answer of 1 MB.
const (
	openBody  = `{"jsonrpc":"2.0","method":"initialize","id":1,"params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}`
	largeBody = `{"jsonrpc":"2.0","method":"tools/call","id":"1 MB","params":{"name":"search"}}`
)

// serveUpstream is the MCP server of the benchmark: a POST is answered with
// 1,024 bytes of JSON, with a list of tools or with 1 MB, a GET with a stream whose
// first event comes at once and whose second never does. It ends with its standard
// input, hence with its parent.
func serveUpstream() error {
	without := net.ListenConfig{KeepAlive: -1} // as in dial
	l, err := without.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	answer, others := jsonOfSize(1024), map[string][]byte{largeBody[:len(listBody)]: jsonOfSize(1 << 20)}
	for _, tools := range listSizes {
		others[fmt.Sprintf(listBody, tools)[:len(listBody)]] = listOf(tools)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/authorize", agree)
	mux.HandleFunc("/token", issue)
	mux.HandleFunc("/mcp", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != upstreamCredential {
			http.Error(w, "no credential", http.StatusUnauthorized)
			return
		}
		if session := r.Header.Get("Mcp-Session-Id"); session != "" && session != upstreamSession {
			http.Error(w, "no such session", http.StatusNotFound)
			return
		}
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "event: message\ndata: {}\n\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		var head [len(listBody)]byte
		_, _ = io.ReadFull(r.Body, head[:])
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		if string(head[:]) == openBody[:len(head)] {
			w.Header().Set("Mcp-Session-Id", upstreamSession)
		}
		if other, asked := others[string(head[:])]; asked {
			w.Header().Set("Content-Length", strconv.Itoa(len(other)))
			_, _ = w.Write(other)
			return
		}
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
