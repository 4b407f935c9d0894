package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// writeCertificate writes a certificate for the loopback address, and its key.
func writeCertificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, 7),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	write := func(name, kind string, bytes []byte) error {
		return os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}), 0o600)
	}
	return errors.Join(write("cert.pem", "CERTIFICATE", certificate), write("key.pem", "PRIVATE KEY", private))
}

// speaking is a configuration of a client that believes any certificate, as those of
// the benchmark are nobody else's, and speaks one protocol.
func speaking(protocol string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}}
}

// dialTLS connects with HTTP/1.1 over TLS.
func dialTLS(addr string) (client, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	nc := tls.Client(c.nc, speaking("http/1.1"))
	c.nc, c.br = nc, bufio.NewReaderSize(nc, 4096)
	return c, nc.Handshake()
}

// http2Client is one connection with HTTP/2 over TLS, with one request at a time.
type http2Client struct {
	addr      string
	transport *http.Transport
	body      bytes.Buffer
}

func dialHTTP2(addr string) (client, error) {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	return &http2Client{addr: addr, transport: &http.Transport{TLSClientConfig: speaking("h2"), Protocols: protocols, DisableCompression: true}}, nil
}

func (c *http2Client) close() { c.transport.CloseIdleConnections() }

// do sends a request that is written as HTTP/1.1 has it.
func (c *http2Client) do(request []byte) (answer, error) {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request)))
	if err != nil {
		return answer{}, err
	}
	r.URL = &url.URL{Scheme: "https", Host: c.addr, Path: r.URL.Path}
	r.RequestURI = ""
	resp, err := c.transport.RoundTrip(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.ProtoMajor != 2 {
		return answer{}, errors.New("no HTTP/2 but " + resp.Proto)
	}
	c.body.Reset()
	_, err = io.Copy(&c.body, resp.Body)
	return answer{status: resp.StatusCode, body: c.body.Bytes()}, err
}
