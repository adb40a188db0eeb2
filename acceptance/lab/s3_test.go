package lab_test

import (
	"net/http"
	"testing"
)

// The S3 server refuses who does not sign.
func TestS3(t *testing.T) {
	if err := l.S3.Bucket(fresh("bucket")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(l.S3.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("an unsigned request: %s", resp.Status)
	}
}
