// Package spiffe obtains JWT-SVIDs over the SPIFFE Workload API, for
// cambio/workload. It needs go-spiffe, and with it gRPC.
package spiffe

import (
	"context"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"cambio/workload"
)

// answerTimeout bounds one call of the Workload API.
const answerTimeout = 30 * time.Second

// Platform is a workload with a SPIFFE Workload API, which
// SPIFFE_ENDPOINT_SOCKET names. CAMBIO_SPIFFE_ID chooses one of several SPIFFE
// IDs.
func Platform() workload.Platform {
	return workload.Platform{
		Name: "spiffe", Title: "the SPIFFE Workload API", Level: workload.Service,
		Find: func(e workload.Environment) (bool, string) {
			if e.Env(workloadapi.SocketEnv) == "" {
				return false, workloadapi.SocketEnv + " is not set"
			}
			return true, workloadapi.SocketEnv + " is set"
		},
		Source: func(e workload.Environment) workload.Source {
			return func(ctx context.Context, audience string) (string, error) { return fetch(ctx, e, audience) }
		},
	}
}

func fetch(ctx context.Context, e workload.Environment, audience string) (string, error) {
	socket := e.Env(workloadapi.SocketEnv)
	if socket == "" {
		return "", workload.Settingsf("%s is not set: mount the socket of the SPIFFE Workload API and name it there, as in unix:///run/spire/agent.sock", workloadapi.SocketEnv)
	}
	params := jwtsvid.Params{Audience: audience}
	if id := e.Env("CAMBIO_SPIFFE_ID"); id != "" {
		var err error
		if params.Subject, err = spiffeid.FromString(id); err != nil {
			return "", workload.Settingsf("CAMBIO_SPIFFE_ID: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	svid, err := workloadapi.FetchJWTSVID(ctx, params, workloadapi.WithAddr(socket))
	switch {
	case status.Code(err) == codes.PermissionDenied:
		return "", &workload.PlatformError{Platform: "the SPIFFE Workload API", Answer: status.Convert(err).Message(),
			Hint: "no SPIFFE ID is registered for this workload: create an entry for it (`spire-server entry create`), which takes some seconds to arrive"}
	case status.Code(err) == codes.Unavailable:
		return "", fmt.Errorf("the SPIFFE Workload API at %s cannot be reached; is the agent running, and its socket mounted? (%s)", socket, status.Convert(err).Message())
	case err != nil:
		return "", fmt.Errorf("the SPIFFE Workload API gave no token: %w", err)
	}
	return svid.Marshal(), nil
}
