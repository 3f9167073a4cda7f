//go:build tools

// Package tools pins Docker's default seccomp profile, under which tests run the sandbox.
package tools

import _ "github.com/moby/profiles/seccomp"
