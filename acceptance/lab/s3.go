package lab

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/davit-sh/davit/acceptance/internal/host"
	"github.com/davit-sh/davit/acceptance/internal/process"
	"github.com/davit-sh/davit/acceptance/internal/server"
)

// S3 is a running S3 server over a folder. It speaks plain HTTP and wants
// buckets in the path.
type S3 struct {
	URL       string
	Region    string
	AccessKey string
	SecretKey string
	Log       string // path of the log
	dir       string
}

// Bucket makes an empty bucket. Its name has three characters or more.
func (s *S3) Bucket(name string) error { return os.Mkdir(filepath.Join(s.dir, name), 0o755) }

// File is the path of an object on this machine, for tests that damage it.
func (s *S3) File(bucket, key string) string { return filepath.Join(s.dir, bucket, key) }

func (l *Lab) startS3(ctx context.Context, made *artifacts) error {
	dir, err := l.folder("s3")
	if err != nil {
		return err
	}
	ports, err := host.FreePorts(1)
	if err != nil {
		return err
	}
	address := fmt.Sprintf("127.0.0.1:%d", ports[0])
	l.S3 = &S3{
		URL: "http://" + address, Region: "us-east-1",
		AccessKey: rand.Text(), SecretKey: rand.Text(),
		Log: filepath.Join(dir, "s3.log"), dir: filepath.Join(dir, "buckets"),
	}
	if err := os.Mkdir(l.S3.dir, 0o755); err != nil {
		return err
	}
	p, err := process.Start(process.Command{
		Name: "s3",
		Args: []string{made.binaries[server.S3], "--port", address, "--region", l.S3.Region, "--health", "/health", "posix", l.S3.dir},
		Env:  []string{"ROOT_ACCESS_KEY=" + l.S3.AccessKey, "ROOT_SECRET_KEY=" + l.S3.SecretKey},
		Dir:  dir,
		Log:  l.S3.Log,
	})
	if err != nil {
		return err
	}
	l.onStop(func() error { return p.Stop(0) })
	return p.WaitReady(ctx, 30*time.Second, func(ctx context.Context) error {
		return answers(ctx, l.S3.URL+"/health", http.StatusOK)
	})
}
