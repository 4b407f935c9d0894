package sealed

import (
	"encoding/base64"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Replace calls fn for each value that is sealed in a record, which is a pointer,
// and puts what fn returns in its place, unless that is nil. It reports whether
// anything was replaced.
func Replace(record any, fn func(storage.SealedValue) []byte) bool {
	r := replacement{fn: fn}
	switch rec := record.(type) {
	case *storage.Connection:
		r.value(storage.SealedConnection, &rec.Secret, Connection(rec.ConnectionKey, rec.ID))
		if own := rec.OnExpiry; own != nil {
			r.value(storage.SealedRevocation, &own.Secret, Revocation(own.Issuer, own.Server, own.ID))
		}
	case *storage.ProviderRevocation:
		r.value(storage.SealedRevocation, &rec.Secret, Revocation(rec.Issuer, rec.Server, rec.ID))
	case *storage.ConnectState:
		r.value(storage.SealedConnectState, &rec.Secret, ConnectState(rec.ConnectionKey, rec.Hash))
	case *storage.UpstreamClient:
		r.value(storage.SealedRegistration, &rec.Secret, UpstreamClient(rec.Issuer, rec.Provider, rec.Server))
	case *storage.Person:
		r.value(storage.SealedPerson, &rec.Secret, Person(*rec))
		if rec.SignOut != nil {
			r.value(storage.SealedSignOut, &rec.SignOut.Secret, SignOutHint(*rec))
		}
	case *storage.SiteValue:
		switch {
		case rec.Name == SigningKeysName:
			r.text(storage.SealedSigningKeys, rec, SigningKeys(rec.Issuer))
		case strings.HasPrefix(rec.Name, tracesPrefix):
			r.text(storage.SealedTraces, rec, Traces(rec.Issuer, rec.Name))
		case strings.HasPrefix(rec.Name, catalogPrefix):
			r.text(storage.SealedCatalog, rec, Catalog(rec.Issuer, rec.Name))
		case strings.HasPrefix(rec.Name, pinsPrefix), strings.HasPrefix(rec.Name, approvalsPrefix):
			r.text(storage.SealedPins, rec, Pins(rec.Issuer, rec.Name))
		}
	}
	return r.done
}

type replacement struct {
	fn   func(storage.SealedValue) []byte
	done bool
}

func (r *replacement) value(kind storage.SealedKind, secret *[]byte, context []string) {
	if *secret == nil {
		return
	}
	if next := r.fn(storage.SealedValue{Kind: kind, Context: context, Sealed: *secret}); next != nil {
		*secret, r.done = next, true
	}
}

// text replaces the text of a site value, which is sealed as a whole.
func (r *replacement) text(kind storage.SealedKind, v *storage.SiteValue, context []string) {
	secret, err := base64.RawURLEncoding.DecodeString(v.Text)
	if err != nil {
		secret = []byte{} // opens for nobody
	}
	r.value(kind, &secret, context)
	if r.done {
		v.Text = base64.RawURLEncoding.EncodeToString(secret)
	}
}
