package load

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"path"
	"strings"
)

// maxArchives is how deep charts may be packed into each other.
const maxArchives = 5

// archives counts what packed charts unpack to, those inside of them too, before Helm unpacks any.
type archives struct {
	left    int64 // bytes
	entries int
}

// check counts a file of a chart if Helm would take it for a packed chart. A broken archive is left to Helm to report.
func (a *archives) check(shown, name string, data []byte, depth int) error {
	if !strings.HasPrefix(name, "charts/") && !strings.Contains(name, "/charts/") || path.Ext(name) != ".tgz" {
		return nil
	}
	if depth == maxArchives {
		return tooMuch(shown, "is a chart packed in more than %d archives", maxArchives)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil //nolint:nilerr // Helm says so
	}
	for r := tar.NewReader(&counted{r: unzipped, left: &a.left}); ; {
		h, err := r.Next()
		if errors.Is(err, errTooMuch) {
			return tooMuch(shown, "and the charts packed beside it are larger than %d MiB unpacked", maxTotal>>20)
		}
		if err != nil {
			return nil //nolint:nilerr // the end, or Helm says so
		}
		if a.entries--; a.entries < 0 {
			return tooMuch(shown, "and the charts packed beside it have more than %d files", maxReads)
		}
		if path.Ext(h.Name) != ".tgz" {
			continue
		}
		inner, err := io.ReadAll(r)
		if errors.Is(err, errTooMuch) {
			return tooMuch(shown, "and the charts packed beside it are larger than %d MiB unpacked", maxTotal>>20)
		}
		if err != nil {
			return nil //nolint:nilerr // Helm says so
		}
		if err := a.check(shown, h.Name, inner, depth+1); err != nil {
			return err
		}
	}
}

var errTooMuch = errors.New("too much")

// counted ends with errTooMuch when nothing is left.
type counted struct {
	r    io.Reader
	left *int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if *c.left -= int64(n); *c.left < 0 {
		return 0, errTooMuch
	}
	return n, err
}
