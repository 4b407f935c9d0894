package egress

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
)

// fakeDNS resolves every name to the address that next returns.
func fakeDNS(next func() netip.Addr) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go serveDNS(server, next)
		return client, nil
	}}
}

// serveDNS answers one query over a stream (RFC 1035 section 4.2.2): its A
// question with the address, any other with nothing.
func serveDNS(conn net.Conn, next func() netip.Addr) {
	defer conn.Close()
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return
	}
	query := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, query); err != nil {
		return
	}
	end := 12 // the header
	for query[end] != 0 {
		end += 1 + int(query[end])
	}
	question := query[12 : end+5]
	reply := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question...)
	if query[end+2] == 1 { // type A
		reply[7] = 1
		reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		reply = append(reply, next().AsSlice()...)
	}
	_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
}
