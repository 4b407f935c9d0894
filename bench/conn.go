package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// conn is one keep-alive HTTP/1.1 connection. It does no more than the
// benchmark needs, so that the client takes little of the machine.
type conn struct {
	addr string
	// redial, if not nil, is called before a request is sent again on a new connection,
	// because the server had hung up on this one without an answer.
	redial func()
	nc     net.Conn
	br     *bufio.Reader
	head   []byte
	body   []byte
}

// answer is a response; valid until the connection is used again.
type answer struct {
	status int
	head   []byte // header lines
	body   []byte
}

func dial(addr string) (*conn, error) {
	// Without probes of its own: thousands of idle streams on loopback would probe each
	// other at the same moments, and the kernel drops packets beyond netdev_max_backlog.
	dialer := net.Dialer{Timeout: 10 * time.Second, KeepAlive: -1}
	nc, err := dialer.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{addr: addr, nc: nc, br: bufio.NewReaderSize(nc, 4096)}, nil
}

func (c *conn) close() { _ = c.nc.Close() }

// errNoAnswer: the other side hung up.
var errNoAnswer = errors.New("hung up without an answer")

// do sends a request and reads the whole answer.
func (c *conn) do(request []byte) (answer, error) {
	a, err := c.doOnce(request)
	for try := 0; try < 3 && c.redial != nil && hangsUp(err); try++ {
		c.redial()
		c.close()
		again, dialed := dial(c.addr)
		if dialed != nil {
			return answer{}, dialed
		}
		c.nc, c.br = again.nc, again.br
		a, err = c.doOnce(request)
	}
	return a, err
}

func (c *conn) doOnce(request []byte) (answer, error) {
	if err := c.nc.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return answer{}, err
	}
	if _, err := c.nc.Write(request); err != nil {
		return answer{}, err
	}
	a, err := c.readHead()
	if err != nil {
		return answer{}, err
	}
	a.body, err = c.readBody(a)
	return a, err
}

// open sends a request for a stream and waits for the end of its first event.
func (c *conn) open(request []byte) (int, error) {
	if err := c.nc.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return 0, err
	}
	if _, err := c.nc.Write(request); err != nil {
		return 0, err
	}
	a, err := c.readHead()
	if err != nil || a.status != 200 {
		return a.status, err
	}
	for {
		line, err := c.br.ReadSlice('\n')
		if err != nil {
			return a.status, err
		}
		if bytes.HasPrefix(line, []byte("data:")) {
			return a.status, c.nc.SetDeadline(time.Time{})
		}
	}
}

func (c *conn) readHead() (answer, error) {
	line, err := c.br.ReadSlice('\n')
	if err != nil {
		if len(line) == 0 && errors.Is(err, io.EOF) {
			err = errNoAnswer
		}
		return answer{}, err
	}
	if len(line) < 12 {
		return answer{}, fmt.Errorf("unexpected status line %q", line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return answer{}, err
	}
	c.head = c.head[:0]
	for {
		line, err := c.br.ReadSlice('\n')
		if err != nil {
			return answer{}, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			return answer{status: status, head: c.head}, nil
		}
		c.head = append(c.head, line...)
	}
}

func (c *conn) readBody(a answer) ([]byte, error) {
	c.body = c.body[:0]
	if a.status == 204 || a.status == 304 {
		return c.body, nil
	}
	if length := a.header("Content-Length"); length != nil {
		n, err := strconv.Atoi(string(length))
		if err != nil {
			return nil, err
		}
		err = c.readN(n)
		return c.body, err
	}
	if a.header("Transfer-Encoding") == nil {
		return nil, errors.New("answer without a length")
	}
	for {
		line, err := c.br.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return nil, err
		}
		if err := c.readN(int(n)); err != nil {
			return nil, err
		}
		if _, err := c.br.Discard(2); err != nil {
			return nil, err
		}
		if n == 0 {
			return c.body, nil
		}
	}
}

// readN appends n bytes to the body.
func (c *conn) readN(n int) error {
	start := len(c.body)
	if need := start + n; need > cap(c.body) {
		c.body = append(make([]byte, 0, 2*need), c.body...)
	}
	c.body = c.body[:start+n]
	_, err := io.ReadFull(c.br, c.body[start:])
	return err
}

// header returns the first value of a header, or nil.
func (a answer) header(name string) []byte {
	for rest := a.head; len(rest) > 0; {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		key, value, ok := bytes.Cut(line, []byte(":"))
		if ok && len(key) == len(name) && bytes.EqualFold(key, []byte(name)) {
			return bytes.TrimSpace(value)
		}
	}
	return nil
}
