package encryptionkey

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// M05: a key that others can read is no key.
func TestKeyFile_M05(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "encryption.key")
	fresh := func() ([]byte, error) { return Generated(path, "mcp_oauth.db", isEmpty(true)) }
	key, err := fresh()
	if err != nil {
		t.Fatal(err)
	}
	again, err := fresh()
	if err != nil || !bytes.Equal(key, again) || len(key) != Size {
		t.Errorf("the second time: %d bytes, %v", len(again), err)
	}
	if runtime.GOOS != "windows" {
		for _, p := range []string{path, filepath.Dir(path)} {
			if info, err := os.Stat(p); err != nil || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s: %v, %v", p, info.Mode(), err)
			}
		}
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := fresh(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("readable by others: %v", err)
		}
	}
	for name, text := range map[string]string{"short": "c2hvcnQ=", "zeros": strings.Repeat("0", 64)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_ = os.Chmod(path, 0o600)
		if _, err := fresh(); err == nil || strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), "is damaged") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func isEmpty(empty bool) func() (bool, error) { return func() (bool, error) { return empty, nil } }

// A key is made anew where nothing can be lost by it, and nowhere else.
func TestLostKey(t *testing.T) {
	for name, test := range map[string]struct {
		file *string // nil: there is none
		used bool
		want string // of the error; empty if there is a key
	}{
		"first start":                          {nil, false, ""},
		"killed at the first start":            {new(string), false, ""},
		"lost, beside records":                 {nil, true, "is missing or empty, and the database mcp_oauth.db has records"},
		"killed, beside records":               {new(string), true, "is missing or empty, and the database mcp_oauth.db has records"},
		"damaged, and it may be another's too": {new("short"), false, "is damaged; restore it from a backup"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "encryption.key")
			if test.file != nil {
				if err := os.WriteFile(path, []byte(*test.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			key, err := Generated(path, "mcp_oauth.db", isEmpty(!test.used))
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("error %v, want one with %q and the file", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if again, err := Generated(path, "mcp_oauth.db", isEmpty(false)); err != nil || !bytes.Equal(again, key) {
				t.Errorf("the next start: another key, or %v", err)
			}
		})
	}
}

// M04: an encryption key is random, but for one that was replaced.
func TestWeakEncryptionKeys_M04(t *testing.T) {
	counting := make([]byte, Size)
	for i := range counting {
		counting[i] = byte(3 * i)
	}
	for name, key := range map[string][]byte{
		"one byte": []byte(strings.Repeat("\x41", Size)), "counting": counting, "repeated": []byte(strings.Repeat("\x01\x23\x45\x67\x89\xab\xcd\xef", 4)),
		"half zero": append([]byte("\x91\x02\xf3\x74\x05\xe6\x37\xa8\x19\xb0\xc1\xd2\x5e\x6f\x80\x9a"), make([]byte, 16)...),
		"words":     []byte("password-password-password-12345"), "row": []byte("0123456789abcdefghijklmnopqrstuv"),
	} {
		if !isRegular(key) {
			t.Errorf("%s: taken for random", name)
		}
	}
	for range 20_000 {
		key := make([]byte, Size)
		_, _ = rand.Read(key)
		if isRegular(key) {
			t.Fatalf("%x is refused", key)
		}
	}
}
