// Command zitadel is an identity provider for tests, of another make than
// js/identity-provider.mjs: the example server of github.com/zitadel/oidc, to
// which groups are added. What it says of people stands in its userinfo alone,
// its refresh tokens are replaced at each use, and it tells of a logout by the
// person's sub, as it knows no session. It asks for name and password each time.
//
//	zitadel PORT
//
// Tests steer it below /test/ in the same way as the other one; see control.go.
package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

// password is everybody's.
const password = "secret"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: zitadel PORT")
		os.Exit(2)
	}
	addr := "127.0.0.1:" + os.Args[1]
	issuer := "http://" + addr
	c := newControl(issuer)
	store := &groupStorage{Storage: storage.NewStorage(c), control: c}
	c.storage = store
	mux := http.NewServeMux()
	mux.Handle("/test/", c)
	mux.Handle("/", c.unlessOut(exampleop.SetupServer(issuer, store, slog.New(slog.DiscardHandler), false)))
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("provider at " + issuer)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	fmt.Fprintln(os.Stderr, server.Serve(listener))
}
