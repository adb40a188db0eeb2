package embedded

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// call sends a request and returns the answer without its body.
func call(t *testing.T, method, url string, body io.Reader, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res
}

func unfinished(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "blobs", "upload-*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A blob arrives in one request, in parts, or is here already; one with another digest is refused and leaves nothing.
func TestUploads(t *testing.T) {
	dir := t.TempDir()
	addr, _ := start(t, dir)
	base := "http://" + addr
	digest := func(s string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(s))) }
	begin := func() string {
		res := call(t, "POST", base+"/v2/app/blobs/uploads/", nil)
		if res.StatusCode != http.StatusAccepted {
			t.Fatal(res.Status)
		}
		return base + res.Header.Get("Location")
	}
	has := func(s string) bool {
		return call(t, "HEAD", base+"/v2/app/blobs/"+digest(s), nil).StatusCode == http.StatusOK
	}
	check := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: status %d, want %d", what, got, want)
		}
	}

	check("at once", call(t, "POST", base+"/v2/app/blobs/uploads/?digest="+digest("one"), strings.NewReader("one")).StatusCode, 201)
	at := begin()
	check("first part", call(t, "PATCH", at, strings.NewReader("two-"), "Content-Range", "0-3").StatusCode, 202)
	check("a part that is not next", call(t, "PATCH", at, strings.NewReader("x"), "Content-Range", "9-9").StatusCode, 416)
	if r := call(t, "GET", at, nil); r.StatusCode != 204 || r.Header.Get("Range") != "0-3" {
		t.Errorf("%s, %q", r.Status, r.Header.Get("Range"))
	}
	check("last part", call(t, "PUT", at+"?digest="+digest("two-parts"), strings.NewReader("parts")).StatusCode, 201)
	check("it has ended", call(t, "PATCH", at, strings.NewReader("x")).StatusCode, 404)
	check("mount", call(t, "POST", base+"/v2/other/blobs/uploads/?mount="+digest("one")+"&from=app", nil).StatusCode, 201)
	check("another digest", call(t, "PUT", begin()+"?digest="+digest("x"), strings.NewReader("y")).StatusCode, 400)
	check("another digest at once", call(t, "POST", base+"/v2/app/blobs/uploads/?digest="+digest("x"), strings.NewReader("y")).StatusCode, 400)
	check("given up", call(t, "DELETE", begin(), nil).StatusCode, 204)
	check("out of the folder", call(t, "PUT", base+"/v2/app/blobs/uploads/..%2F..%2Fx?digest="+digest("y"), strings.NewReader("y")).StatusCode, 404)
	if !has("one") || !has("two-parts") || has("x") || has("y") {
		t.Error("other blobs are here than were sent")
	}
	if left := unfinished(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Uploads to which nothing was written for an hour are dropped when another one begins.
func TestUnfinishedUploadsAreDropped(t *testing.T) {
	dir := t.TempDir()
	addr, _ := start(t, dir)
	for range 3 {
		call(t, "POST", "http://"+addr+"/v2/app/blobs/uploads/", nil)
	}
	left := unfinished(t, dir)
	if len(left) != 3 {
		t.Fatalf("%v", left)
	}
	for _, f := range left[:2] {
		old := time.Now().Add(-2 * idle)
		if err := os.Chtimes(f, old, old); err != nil {
			t.Fatal(err)
		}
	}
	call(t, "POST", "http://"+addr+"/v2/app/blobs/uploads/", nil)
	if left := unfinished(t, dir); len(left) != 2 {
		t.Errorf("%v", left)
	}
}

// The memory that an upload takes does not depend on its size.
func TestUploadsAreNotHeldInMemory(t *testing.T) {
	dir := t.TempDir()
	addr, _ := start(t, dir)
	const size = 64 << 20
	block := bytes.Repeat([]byte("0123456789abcdef"), 1<<12)
	h := sha256.New()
	for range size / len(block) {
		h.Write(block)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	body := io.LimitReader(&endless{block: block}, size)
	res := call(t, "POST", fmt.Sprintf("http://%s/v2/app/blobs/uploads/?digest=sha256:%x", addr, h.Sum(nil)), body)
	runtime.ReadMemStats(&after)
	if res.StatusCode != http.StatusCreated {
		t.Fatal(res.Status)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > size/8 {
		t.Errorf("%d MB were allocated for a blob of %d MB", took>>20, size>>20)
	}
}

// endless repeats a block.
type endless struct {
	block []byte
	at    int
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.block[e.at:])
	e.at = (e.at + n) % len(e.block)
	return n, nil
}
