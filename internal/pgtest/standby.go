//go:build unix

package pgtest

import (
	"errors"
	"fmt"
	"strconv"
)

// Standby starts a server that follows this one and can only be read, until it
// is promoted. It follows through this one's first address, if there is one, and
// has a certificate of the same authority.
func (s *Server) Standby(o Options) (*Server, error) {
	return start(o, func(standby *Server) error {
		standby.ca = s.ca
		return standby.run(standby.options.StartProcess, "pg_basebackup", "-d", s.replication(), "-D", standby.data(), "-R", "-X", "stream", "-c", "fast", "--no-sync")
	})
}

func (s *Server) replication() string {
	if len(s.options.Addresses) == 0 || s.options.HBA != nil {
		return "host=" + s.dir + " port=" + strconv.Itoa(s.options.Port) + " user=postgres"
	}
	dsn := fmt.Sprintf("host=%s port=%d user=postgres", s.options.Addresses[0], s.options.Port)
	if s.options.TLS {
		dsn += " sslmode=require"
	}
	return dsn
}

// WaitForStandby makes each commit wait until a standby has it, from now on, or
// until there is a standby again. Without one that follows, commits wait.
func (s *Server) WaitForStandby() error {
	err := errors.Join(s.Exec("alter system set synchronous_standby_names = '*'"), s.Exec("select pg_reload_conf()"))
	if err != nil {
		return err
	}
	return s.answers(func() error {
		n, err := s.Text("select count(*)::text from pg_stat_replication where sync_state = 'sync'")
		if err == nil && n == "0" {
			err = errors.New("no synchronous standby")
		}
		return err
	})
}

// Promote lets a standby take over. It is one server then, that waits for nobody.
func (s *Server) Promote() error {
	err := s.Exec("select pg_promote()")
	if err != nil {
		return err
	}
	return s.answers(func() error {
		standby, err := s.Text("select pg_is_in_recovery()::text")
		if err == nil && standby != "false" {
			err = errors.New("still a standby")
		}
		return err
	})
}
