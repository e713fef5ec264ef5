package conformance

import (
	"bytes"
	"compress/gzip"
	"net/http"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdProtocol makes the script's requests with one version of HTTP only:
// protocol 1.1|2. `answeredby` checks it.
func (s *session) cmdProtocol(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 1, "protocol 1.1|2")
	transport := s.target.http.Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.NextProtos = nil
	transport.Protocols = &http.Protocols{}
	transport.Protocols.SetHTTP1(args[0] == "1.1")
	transport.Protocols.SetHTTP2(args[0] == "2")
	client := *s.target.http
	client.Transport = transport
	s.http = &client
	ts.Defer(transport.CloseIdleConnections)
}

// cmdAnsweredBy checks the version of HTTP of the last answer: answeredby
// HTTP/1.1|HTTP/2.0.
func (s *session) cmdAnsweredBy(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 1, "answeredby HTTP/1.1|HTTP/2.0")
	if got := s.answered(ts).proto; got != args[0] {
		ts.Fatalf("the answer is %s, want %s", got, args[0])
	}
}

func compressed(ts *testscript.TestScript, text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(text))
	ts.Check(err)
	ts.Check(w.Close())
	return b.String()
}
