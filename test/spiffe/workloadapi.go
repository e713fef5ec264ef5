package spiffe

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// WorkloadAPI is the Workload API of the authority, to be served on a unix
// socket: the process at its other end gets the SPIFFE ID with the path
// /uid/N, N its user id.
func (a *Authority) WorkloadAPI() *grpc.Server {
	server := grpc.NewServer(grpc.Creds(peerCredentials{}))
	workload.RegisterSpiffeWorkloadAPIServer(server, &workloadAPI{authority: a})
	return server
}

type workloadAPI struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	authority *Authority
}

// caller is the SPIFFE ID of the process at the other end. Without the header
// that no browser sends there is none (SPIFFE Workload API §3).
func (w *workloadAPI) caller(ctx context.Context) (string, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if v := md.Get("workload.spiffe.io"); len(v) != 1 || v[0] != "true" {
		return "", status.Error(codes.InvalidArgument, "security header missing from request")
	}
	p, ok := peer.FromContext(ctx)
	if !ok {
		return "", status.Error(codes.Internal, "no peer")
	}
	known, ok := p.AuthInfo.(peerInfo)
	if !ok {
		return "", status.Error(codes.Internal, "the peer is not known")
	}
	return w.authority.ID(fmt.Sprintf("/uid/%d", known.uid)), nil
}

func (w *workloadAPI) FetchJWTSVID(ctx context.Context, r *workload.JWTSVIDRequest) (*workload.JWTSVIDResponse, error) {
	id, err := w.caller(ctx)
	switch {
	case err != nil:
		return nil, err
	case len(r.Audience) == 0:
		return nil, status.Error(codes.InvalidArgument, "audience must be specified")
	case r.SpiffeId != "" && r.SpiffeId != id:
		return nil, status.Error(codes.PermissionDenied, "no identity issued")
	}
	svid, err := w.authority.JWTSVID(id, r.Audience, nil)
	if err != nil {
		return nil, err
	}
	return &workload.JWTSVIDResponse{Svids: []*workload.JWTSVID{{SpiffeId: id, Svid: svid}}}, nil
}

func (w *workloadAPI) FetchJWTBundles(_ *workload.JWTBundlesRequest, stream grpc.ServerStreamingServer[workload.JWTBundlesResponse]) error {
	if _, err := w.caller(stream.Context()); err != nil {
		return err
	}
	bundle := jwtbundle.New(w.authority.TrustDomain)
	if err := bundle.AddJWTAuthority(keyID, &w.authority.jwtKey.PublicKey); err != nil {
		return err
	}
	keys, err := bundle.Marshal()
	if err != nil {
		return err
	}
	if err := stream.Send(&workload.JWTBundlesResponse{Bundles: map[string][]byte{w.authority.TrustDomain.IDString(): keys}}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

// FetchX509SVID sends a new certificate each time that half of the last one's
// life is over.
func (w *workloadAPI) FetchX509SVID(_ *workload.X509SVIDRequest, stream grpc.ServerStreamingServer[workload.X509SVIDResponse]) error {
	id, err := w.caller(stream.Context())
	if err != nil {
		return err
	}
	for {
		svid, err := w.authority.X509SVID(id, nil)
		if err != nil {
			return err
		}
		key, err := x509.MarshalPKCS8PrivateKey(svid.PrivateKey)
		if err != nil {
			return err
		}
		one := &workload.X509SVID{SpiffeId: id, X509Svid: svid.Leaf.Raw, X509SvidKey: key, Bundle: w.authority.ca.Raw}
		if err := stream.Send(&workload.X509SVIDResponse{Svids: []*workload.X509SVID{one}}); err != nil {
			return err
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-time.After(x509Lifetime / 2):
		}
	}
}

func (w *workloadAPI) FetchX509Bundles(_ *workload.X509BundlesRequest, stream grpc.ServerStreamingServer[workload.X509BundlesResponse]) error {
	if _, err := w.caller(stream.Context()); err != nil {
		return err
	}
	if err := stream.Send(&workload.X509BundlesResponse{Bundles: map[string][]byte{w.authority.TrustDomain.IDString(): w.authority.ca.Raw}}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

// peerInfo is what the kernel says of the process at the other end.
type peerInfo struct {
	credentials.CommonAuthInfo
	uid uint32
}

func (peerInfo) AuthType() string { return "peer" }

// peerCredentials ask the kernel.
type peerCredentials struct{}

func (peerCredentials) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	socket, ok := c.(*net.UnixConn)
	if !ok {
		return nil, nil, errors.New("the Workload API is for unix sockets")
	}
	user, err := userOf(socket)
	if err != nil {
		return nil, nil, err
	}
	return c, peerInfo{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}, user}, nil
}

func (peerCredentials) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("for servers only")
}

func (peerCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "peer"}
}

func (c peerCredentials) Clone() credentials.TransportCredentials { return c }

func (peerCredentials) OverrideServerName(string) error { return nil }
