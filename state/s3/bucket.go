package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithymiddleware "github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/davit-sh/davit/state/internal/objects"
)

// bucket is the part of an S3 bucket below a key.
type bucket struct {
	client                *s3.Client
	bucket, key, endpoint string
	clock                 objects.Clock
}

func noHTTP2(t *http.Transport) {
	t.ForceAttemptHTTP2 = false
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
}

// String implements objects.Bucket.
func (b *bucket) String() string {
	where := "s3://" + b.bucket + "/" + b.key
	if b.endpoint != "" {
		where += " at " + b.endpoint
	}
	return where
}

func (b *bucket) path(name string) *string { return aws.String(b.key + "/" + name) }

// observe adjusts the clock by the date of an answer.
func (b *bucket) observe(sent time.Time, m smithymiddleware.Metadata) {
	if date, ok := middleware.GetServerTime(m); ok && !date.IsZero() {
		b.clock.Observe(date, sent, time.Now())
	}
}

// Get implements objects.Bucket.
func (b *bucket) Get(ctx context.Context, name string) ([]byte, string, error) {
	sent := time.Now()
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.bucket, Key: b.path(name)})
	if err != nil {
		return nil, "", b.failed(err)
	}
	defer out.Body.Close()
	b.observe(sent, out.ResultMetadata)
	data, err := io.ReadAll(out.Body)
	return data, aws.ToString(out.ETag), err
}

// Put implements objects.Bucket.
func (b *bucket) Put(ctx context.Context, name string, data []byte, version string) (string, error) {
	in := &s3.PutObjectInput{Bucket: &b.bucket, Key: b.path(name), Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data)))}
	if version == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = &version
	}
	sent := time.Now()
	out, err := b.client.PutObject(ctx, in)
	if err != nil {
		err = b.failed(err)
		if errors.Is(err, objects.ErrNotFound) {
			return "", objects.ErrConflict // If-Match on an object that somebody removed
		}
		return "", err
	}
	b.observe(sent, out.ResultMetadata)
	if aws.ToString(out.ETag) == "" {
		return "", objects.Permanent(errors.New("the server's answer has no ETag: it cannot store a state"))
	}
	return *out.ETag, nil
}

// Delete implements objects.Bucket.
func (b *bucket) Delete(ctx context.Context, name string) error {
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.bucket, Key: b.path(name)})
	if err = b.failed(err); errors.Is(err, objects.ErrNotFound) {
		return nil
	}
	return err
}

// List implements objects.Bucket.
func (b *bucket) List(ctx context.Context) (names []string, err error) {
	prefix := b.key + "/"
	pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: &b.bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, b.failed(err)
		}
		for _, o := range page.Contents {
			names = append(names, strings.TrimPrefix(aws.ToString(o.Key), prefix))
		}
	}
	return names, nil
}

// failed classifies the server's errors.
func (b *bucket) failed(err error) error {
	if err == nil {
		return nil
	}
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return objects.Refused(short(err))
		}
		return short(err)
	}
	status, code, said := answer.HTTPStatusCode(), "", ""
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code, said = api.ErrorCode(), api.ErrorMessage()
	}
	plain := fmt.Errorf("the server answered %d %s: %s", status, code, said)
	switch {
	case status == http.StatusPreconditionFailed:
		return objects.ErrConflict
	case code == "NoSuchBucket":
		return objects.Permanent(fmt.Errorf("the bucket %s does not exist: create it first", b.bucket))
	case status == http.StatusNotFound && (code == "NoSuchKey" || code == "NotFound"):
		return objects.ErrNotFound
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable, status == http.StatusConflict,
		code == "RequestTimeTooSkewed", code == "RequestTimeout", code == "SlowDown":
		return objects.Refused(plain)
	case status == http.StatusNotImplemented:
		return objects.Permanent(fmt.Errorf("%w; the server must support conditional writes", plain))
	case status >= 500:
		return plain
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return objects.Permanent(fmt.Errorf("%w; the credentials must allow s3:GetObject, s3:PutObject and s3:DeleteObject on %s/* and s3:ListBucket on the bucket", plain, b.key))
	case status >= 400:
		return objects.Permanent(plain)
	}
	return plain
}

// short removes the library's own words from an error.
func short(err error) error {
	if op, ok := errors.AsType[*smithy.OperationError](err); ok {
		err = op.Unwrap()
	}
	if send, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		err = send.Unwrap()
	}
	return err
}
