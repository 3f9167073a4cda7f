//go:build tools

// Package s3server pins the version of versitygw, the S3 server that the tests start.
package s3server

import _ "github.com/versity/versitygw/cmd/versitygw"
