package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"cambio/internal/lint"
	"cambio/internal/oidc"
)

// lookAtIssuers adds what the issuers publish, as far as they can be reached
// from here: those of credentials, each once, sets and trust domains left out.
func (f *lintFlags) lookAtIssuers(ctx context.Context, in *lint.Input) error {
	var names []string
	for i := range in.Clients {
		for j := range in.Clients[i].Credentials {
			if name := in.Clients[i].Credentials[j].Issuer; strings.HasPrefix(name, "https://") && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	for _, name := range names {
		settings, err := f.check.settings(name)
		if err != nil {
			return err
		}
		report, err := oidc.Check(ctx, settings, name)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(in.Issuers, func(i lint.Issuer) bool { return i.Name == name })
		if at < 0 {
			in.Issuers = append(in.Issuers, lint.Issuer{Name: name})
			at = len(in.Issuers) - 1
		}
		in.Issuers[at].KeyProblems = keyProblems(report)
		in.Issuers[at].LiveDiffers = report.OK() && in.Issuers[at].Pinned != "" && report.Differs(in.Issuers[at].Pinned)
	}
	return nil
}

// keyProblems are steps that failed, keys that are not used, and key ids that
// are there more than once.
func keyProblems(report *oidc.Report) []string {
	var out []string
	for _, s := range report.Steps {
		if !s.OK {
			out = append(out, s.Name+": "+s.Note)
		}
	}
	for _, k := range report.Ignored {
		if strings.HasPrefix(k.Reason, "use is not") { // for encryption, say
			continue
		}
		out = append(out, fmt.Sprintf("key %d (kid %q) is not used: %s", k.Index+1, k.KeyID, k.Reason))
	}
	seen := map[string]int{}
	for _, k := range report.Keys {
		if seen[k.KeyID]++; seen[k.KeyID] == 2 {
			out = append(out, fmt.Sprintf("kid %q is there more than once", k.KeyID))
		}
	}
	return out
}
