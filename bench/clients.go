package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"

	"cambio/bench/internal/fixture"
)

// clientID and subjectOf name the n-th registered client and the subject of
// its first credential.
func clientID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func subjectOf(n, credential int) string {
	return fmt.Sprintf("system:serviceaccount:team-%d:job-%d", n, credential)
}

// writeClients writes lines for `cambio load`: so many clients with so many
// credentials each, assigned to both resources if assigned.
func writeClients(out io.Writer, issuer string, clients, each int, assigned bool) error {
	w := bufio.NewWriterSize(out, 1<<20)
	for n := range clients {
		_, _ = fmt.Fprintf(w, `{"displayName":"client %d","appId":%q,"credentials":[`, n, clientID(n)) // Flush has the error
		for c := range each {
			if c > 0 {
				_ = w.WriteByte(',')
			}
			_, _ = fmt.Fprintf(w, `{"name":"job-%d","issuer":%q,"subject":%q,"audiences":[%q]}`, c, issuer, subjectOf(n, c), fixture.Audience)
		}
		_, _ = w.WriteString("]")
		if assigned {
			_, _ = fmt.Fprintf(w, `,"assignments":[{"resource":%q,"role":%q},{"resource":%q,"role":%q}]`,
				fixture.URI("RS256"), fixture.Role, fixture.URI("ES256"), fixture.Role)
		}
		_, _ = w.WriteString("}\n")
	}
	return w.Flush()
}

// clientsMain is `bench clients`.
func clientsMain(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("clients", flag.ExitOnError)
	n := flags.Int("n", 1000, "clients")
	each := flags.Int("each", 10, "credentials of each")
	issuer := flags.String("issuer", "https://issuer.example", "their issuer")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return writeClients(out, *issuer, *n, *each, false)
}
