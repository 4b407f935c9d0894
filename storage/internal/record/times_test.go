package record

import (
	"reflect"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// The times of a record are all in its list: one that is not would be off by as much as
// clocks differ.
func TestEveryTimeIsListed(t *testing.T) {
	for name, c := range map[string]struct {
		value any
		times func(any) []*time.Time
		not   int // Claims have VerifiedAt, which is the person's and is not stored there
	}{
		"client":      list(ClientTimes, 0),
		"flow":        list(FlowTimes, 1),
		"code":        list(CodeTimes, 0),
		"session":     list(SessionTimes, 1),
		"person":      list(PersonTimes, 1),
		"state":       list(StateTimes, 0),
		"upstream":    list(UpstreamTimes, 0),
		"revocation":  list(RevocationTimes, 0),
		"virtual key": list(VirtualKeyTimes, 0),
		"site value":  list(SiteValueTimes, 0),
		"connection":  list(ConnectionTimes, 0),
		"grant":       list(GrantTimes, 1),
		"refresh":     list(RefreshTimes, 0),
		"access":      list(AccessTimes, 1),
		"one-time":    list(oneTimeTimes, 0),
	} {
		want := count(reflect.ValueOf(c.value).Elem()) - c.not
		if got := len(c.times(c.value)); got != want || want == 0 {
			t.Errorf("%s: %d times are listed, and it has %d", name, got, want)
		}
	}
}

func list[T any](times func(*T) []*time.Time, not int) (c struct {
	value any
	times func(any) []*time.Time
	not   int
}) {
	c.value, c.not = new(T), not
	c.times = func(v any) []*time.Time { return times(v.(*T)) }
	return c
}

// count counts the times in a value, and fills what pointers lead to.
func count(v reflect.Value) (n int) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		return 1
	case v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return count(v.Elem())
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			n += count(v.Field(i))
		}
	}
	return n
}

// What is read and written anew, and moved there and back, is what it was.
func TestKindsKeepRecords(t *testing.T) {
	at := time.Date(2026, 11, 29, 3, 0, 0, 5, time.FixedZone("", 3600))
	c := storage.Connection{
		ConnectionKey: storage.ConnectionKey{Issuer: "i", Owner: "o", Server: "s"}, ID: "1", State: storage.InDoubt, Secret: []byte{0, 255}, Retries: 2,
		CreatedAt: at, LeaseUntil: at.Add(time.Minute), OnExpiry: &storage.ProviderRevocation{ID: "2", DueAt: at},
	}
	k, found := KindOf("connections")
	if !found {
		t.Fatal("there are no connections")
	}
	before, err := k.Write(&c)
	if err != nil {
		t.Fatal(err)
	}
	value, err := k.Read(nil, before)
	if err != nil {
		t.Fatal(err)
	}
	for _, by := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		k.Shift(value, by)
		got := value.(*storage.Connection)
		want := at.UTC()
		if by > 0 {
			want = want.Add(by)
		}
		if !got.CreatedAt.Equal(want) || !got.OnExpiry.DueAt.Equal(want) || !got.ExpiresAt.IsZero() || got.Retries != 2 {
			t.Errorf("moved by %v: %+v, want it at %v", by, got, want)
		}
	}
	if !c.OnExpiry.DueAt.Equal(at) {
		t.Error("the caller's was changed")
	}
}
