//go:build tools

// Package tusd pins the version of tusd that the benchmarks build.
package tusd

import _ "github.com/tus/tusd/v2/cmd/tusd"
