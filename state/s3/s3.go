// Package s3 keeps a stack's state in a bucket of S3, or of a server that speaks it.
//
// The server must honour conditional writes: PutObject with If-None-Match: * and with If-Match. No other
// service is needed for locking. Credentials come from where the AWS tools look for them.
package s3

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/internal/objects"
)

// Config is the place of the state.
type Config struct {
	Bucket    string `hcl:"bucket"`              // it must be there
	Key       string `hcl:"key"`                 // what the names of the state's objects begin with: "shop/prod"
	Region    string `hcl:"region,optional"`     // default: AWS_REGION or the profile's
	Endpoint  string `hcl:"endpoint,optional"`   // URL of another server than Amazon's; default: AWS_ENDPOINT_URL_S3
	PathStyle bool   `hcl:"path_style,optional"` // the bucket is in the path, not in the host's name
	Profile   string `hcl:"profile,optional"`    // of the shared configuration; default: AWS_PROFILE
}

// Validate returns an error for a missing or invalid setting.
func (c Config) Validate() error {
	var errs []error
	if c.Bucket == "" {
		errs = append(errs, errors.New("bucket is missing: name the bucket for the state"))
	}
	if key := strings.Trim(c.Key, "/"); key == "" {
		errs = append(errs, errors.New(`key is missing: say what the names of the state's objects begin with, like "shop/prod"`))
	} else if key != c.Key {
		errs = append(errs, fmt.Errorf("key %q begins or ends with a slash: write %q", c.Key, key))
	}
	if c.Endpoint != "" {
		u, err := url.Parse(c.Endpoint)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https": // the text may hold a password
			errs = append(errs, errors.New("endpoint is not a URL such as https://s3.example.com"))
		case u.User != nil:
			errs = append(errs, errors.New("endpoint contains a password: put credentials into the environment or the shared configuration"))
		}
	}
	return errors.Join(errs...)
}

// Option changes how a store behaves.
type Option func(*objects.Options)

// TTL sets how long a lease lasts without a heartbeat; 30 seconds if not given.
func TTL(d time.Duration) Option { return func(o *objects.Options) { o.TTL = d } }

// Open returns the state; the first Lock creates it. It returns an error if there are no credentials.
func Open(ctx context.Context, c Config, options ...Option) (state.Store, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("state s3: %w", err)
	}
	client, err := newClient(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("state s3: %w", err)
	}
	b := &bucket{client: client, bucket: c.Bucket, key: c.Key, endpoint: c.Endpoint}
	o := objects.Options{Part: 2 << 20, Now: b.clock.Now, Verify: true}
	for _, change := range options {
		change(&o)
	}
	return objects.Open(b, o)
}

func newClient(ctx context.Context, c Config) (*s3.Client, error) {
	// One connection carries one request at a time, so that giving a request up also gives up a
	// connection that nobody answers on any more.
	transport := awshttp.NewBuildableClient().WithTransportOptions(noHTTP2)
	load := []func(*config.LoadOptions) error{
		config.WithHTTPClient(transport),
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired), // others than Amazon know no better
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	}
	if c.Region != "" {
		load = append(load, config.WithRegion(c.Region))
	}
	if c.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(c.Profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		if c.Endpoint == "" {
			return nil, errors.New("the region is missing: set region, AWS_REGION, or a region in the profile")
		}
		cfg.Region = "us-east-1" // what servers of other makers expect
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return nil, fmt.Errorf("credentials are missing: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile, or run with a role: %w", err)
	}
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = c.PathStyle
		o.Retryer = aws.NopRetryer{} // asking again is the store's: it must know what may have been written
		if c.Endpoint != "" {
			o.BaseEndpoint = aws.String(c.Endpoint)
		}
	}), nil
}
