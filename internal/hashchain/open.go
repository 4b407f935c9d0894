package hashchain

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// source is a file of lines, as it is or compressed.
type source struct {
	io.ReadCloser
	file *os.File // beneath
}

func open(name string) (*source, error) {
	if strings.HasSuffix(name, ".zst") {
		return nil, fmt.Errorf("%s: files that are compressed with zstd cannot be read; decompress it with zstd -d", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(name, ".gz") {
		return &source{f, f}, nil
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &source{z, f}, nil
}

// Close closes the file.
func (s *source) Close() error {
	if s.ReadCloser == s.file {
		return s.file.Close()
	}
	return errors.Join(s.ReadCloser.Close(), s.file.Close())
}
