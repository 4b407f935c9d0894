package requestbody

import (
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
)

// unknownLength hides how long a body is, as chunked encoding does.
type unknownLength struct{ io.Reader }

// limit is how much is held in these tests.
const limit = 64 << 10

func buffered(t *testing.T, body io.Reader) (*Body, io.ReadCloser) {
	t.Helper()
	r, h := httptest.NewRequestWithContext(t.Context(), "POST", "/mcp", body), new(Body)
	if err := h.Buffer(httptest.NewRecorder(), r, limit); err != nil {
		t.Fatal(err)
	}
	return h, r.Body
}

func TestHeldBodyIsReadAnyNumberOfTimes(t *testing.T) {
	for name, body := range map[string]string{"empty": "", "short": "x", "full": strings.Repeat("x", limit)} {
		for _, chunked := range []bool{false, true} {
			var source io.Reader = strings.NewReader(body)
			if chunked {
				source = unknownLength{source}
			}
			h, first := buffered(t, source)
			for range 2 {
				again, kept := h.Again()
				if !kept {
					t.Fatalf("%s, chunked %v: not kept", name, chunked)
				}
				if got, err := io.ReadAll(again); err != nil || string(got) != body {
					t.Errorf("%s, chunked %v: %d bytes, %v", name, chunked, len(got), err)
				}
			}
			if got, err := io.ReadAll(first); err != nil || string(got) != body {
				t.Errorf("%s, chunked %v: %d bytes at first, %v", name, chunked, len(got), err)
			}
			h.Release()
		}
	}
}

func TestLargeBodyPassesWithoutBeingKept(t *testing.T) {
	body := strings.Repeat("x", limit+1) + "the end"
	for _, source := range []io.Reader{strings.NewReader(body), unknownLength{strings.NewReader(body)}} {
		h, first := buffered(t, source)
		if _, kept := h.Again(); kept || h.Bytes() != nil {
			t.Error("kept")
		}
		if got, err := io.ReadAll(first); err != nil || string(got) != body {
			t.Errorf("%d bytes of %d, %v", len(got), len(body), err)
		}
		h.Release()
	}
}

// E25: a transport that reads late gets an error, never another call's body.
func TestReleasedBodyIsGone_E25(t *testing.T) {
	h, late := buffered(t, strings.NewReader("alice's"))
	h.Taken() // nothing was read yet, so the upstream may still want it
	if _, err := late.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	h.Release()
	other, _ := buffered(t, strings.NewReader("bob's body"))
	defer other.Release()
	if n, err := late.Read(make([]byte, 100)); n != 0 || !errors.Is(err, errReleased) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if h.Bytes() != nil {
		t.Error("bytes of a released body")
	}
}

// A call that is sent again keeps its body until that was read.
func TestBodySentAgainIsKept(t *testing.T) {
	h, first := buffered(t, strings.NewReader("body"))
	if _, err := io.ReadAll(first); err != nil {
		t.Fatal(err)
	}
	again, _ := h.Again()
	h.Taken()
	if got, err := io.ReadAll(again); err != nil || string(got) != "body" {
		t.Errorf("%q, %v", got, err)
	}
	h.Taken()
	if h.Bytes() != nil {
		t.Error("the buffer is kept")
	}
}
