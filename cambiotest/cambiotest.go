package cambiotest

import (
	"context"
	"log/slog"
	"time"

	"cambio/internal/development"
)

// IdentityProvider is an OpenID provider that mints any claim set.
type IdentityProvider = development.IdentityProvider

// Info says where a server is and what it was seeded with.
type Info = development.Info

// NewIdentityProvider makes a provider with new keys, to be served at its
// issuer's URL.
func NewIdentityProvider(issuer string) (*IdentityProvider, error) {
	return development.NewIdentityProvider(issuer, time.Now)
}

// Server is a cambio server in this process, as `cambio dev` runs it.
type Server struct{ *development.Instance }

// Start runs a server on a free loopback port with its state in dir, such as
// the test's temporary folder. Close it.
func Start(ctx context.Context, dir string) (*Server, error) {
	i, err := development.Start(ctx, development.Config{Dir: dir, Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	return &Server{i}, nil
}
