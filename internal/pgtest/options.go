//go:build unix

package pgtest

import (
	"context"
	"net"
	"os/exec"
	"strconv"
)

// Options of a server. The zero value is one that is reached through a socket.
type Options struct {
	// Args go to postgres.
	Args []string
	// Addresses to listen at, besides the socket.
	Addresses []string
	// Port of the socket and the addresses. Default: a free one if there are
	// addresses, else 5432.
	Port int
	// TLS is what callers at the addresses must use. The certificate is of the
	// server's own authority, see CA.
	TLS bool
	// Names are what the certificate says. Default: the addresses and localhost.
	Names []string
	// HBA are lines of pg_hba.conf for others than the superuser at the socket.
	// Default: whoever reaches the server is trusted.
	HBA []string
	// StartProcess starts the server, what fills its folder, and its poolers, such
	// as in a network namespace. Default: (*exec.Cmd).Start.
	StartProcess func(*exec.Cmd) error
}

func (o *Options) fill() error {
	if o.StartProcess == nil {
		if o.Port == 0 && len(o.Addresses) > 0 {
			var err error
			if o.Port, err = freePort(o.Addresses[0]); err != nil {
				return err
			}
		}
		o.StartProcess = (*exec.Cmd).Start
	}
	if o.Port == 0 {
		o.Port = 5432
	}
	if len(o.Names) == 0 {
		o.Names = append([]string{"localhost"}, o.Addresses...)
	}
	return nil
}

func (o *Options) hba() []string {
	lines := []string{"local all postgres trust", "local replication postgres trust"}
	if len(o.HBA) > 0 {
		return append(lines, o.HBA...)
	}
	host := "host"
	if o.TLS {
		host = "hostssl"
	}
	return append(lines, "local all all trust", host+" all all all trust", host+" replication all all trust")
}

func freePort(address string) (int, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return 0, err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0, err
	}
	return n, l.Close()
}
