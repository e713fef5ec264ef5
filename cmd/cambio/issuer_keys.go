package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"cambio/internal/oidc"
)

func issuerKeysCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "keys ISSUER", Short: "Show the history of an issuer's keys, and how it is", Args: oneArgument("issuer"),
		Long: "Lists which keys a managed issuer published, since when and until when, and says how the server that answered has them: how many are used and which are not, and what failed last.\n\n" +
			"An issuer that is discovered has a history from the first token on that needed its keys after it was managed.",
		Example: "  cambio issuer keys https://k8s.example.net\n  cambio issuer keys https://k8s.example.net -o json",
	}
	cmd.AddCommand(issuerApproveCommand(c))
	return c.reading(cmd, func(ctx context.Context, op *operation, args []string) error {
		i, err := op.Issuer(ctx, args[0])
		if err != nil {
			return err
		}
		raw, err := op.Get(ctx, "/trust/v1/issuers/"+i.ID+"/keys")
		if err != nil {
			return err
		}
		t, err := op.keyTable(raw)
		if err != nil {
			return err
		}
		return op.list(t)
	})
}

// keyTable reads the history, and notes what there is to say of the issuer.
func (op *operation) keyTable(raw jsontext.Value) (table, error) {
	var answer struct {
		Value []jsontext.Value `json:"value"`
	}
	t := table{head: []string{"First seen", "Last seen", "Current", "Approved", "Alg", "Kid", "Thumbprint"}, raw: []jsontext.Value{}}
	if err := unmarshal(raw, &answer); err != nil {
		return t, err
	}
	for _, one := range answer.Value {
		var k struct {
			Thumbprint string    `json:"thumbprint"`
			KeyID      string    `json:"keyId"`
			Algorithm  string    `json:"algorithm"`
			FirstSeen  time.Time `json:"firstSeenDateTime"`
			LastSeen   time.Time `json:"lastSeenDateTime"`
			Current    bool      `json:"current"`
			Approved   bool      `json:"approved"`
		}
		if err := unmarshal(one, &k); err != nil {
			return t, err
		}
		t.rows = append(t.rows, []string{k.FirstSeen.Format(time.RFC3339), k.LastSeen.Format(time.RFC3339), yesNo(k.Current), yesNo(k.Approved), k.Algorithm, k.KeyID, k.Thumbprint})
		t.raw = append(t.raw, one)
	}
	return t, op.noteHealth(raw)
}

// noteHealth says what is wrong with an issuer, if anything is.
func (op *operation) noteHealth(raw jsontext.Value) error {
	var answer struct {
		Health struct {
			Error       string `json:"error"`
			IgnoredKeys []struct {
				Index  int    `json:"index"`
				KeyID  string `json:"keyId"`
				Reason string `json:"reason"`
			} `json:"ignoredKeys"`
		} `json:"health"`
	}
	if err := unmarshal(raw, &answer); err != nil {
		return err
	}
	if answer.Health.Error != "" {
		op.note("Note: its keys could not be had: %s. `cambio issuer check` finds out why.", answer.Health.Error)
	}
	for _, k := range answer.Health.IgnoredKeys {
		op.note("Note: key %d of the set (kid %q) is not used: %s.", k.Index+1, k.KeyID, k.Reason)
	}
	return nil
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func issuerApproveCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "approve ISSUER THUMBPRINT", Short: "Let a key that was held be used", Args: arguments("issuer", "thumbprint"),
		Long:    "Approves one key of an issuer whose keys are held until they are (--approve-keys). Compare the thumbprint with what the issuer's owner says, and not only with what `cambio issuer keys` shows.",
		Example: "  cambio issuer keys approve https://k8s.example.net NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
	}
	return c.writing(cmd, func(ctx context.Context, op *operation, args []string) error {
		i, err := op.Issuer(ctx, args[0])
		if err != nil {
			return err
		}
		i, err = op.ApproveIssuerKeys(ctx, i.ID, args[1])
		return op.updated(args[0], issuerTable(i), err)
	})
}

func issuerPushCommand(c *connection) *cobra.Command {
	var o checkOptions
	var discovery, keySet string
	var every time.Duration
	cmd := &cobra.Command{
		Use: "push ISSUER", Short: "Send the keys of an issuer that the server cannot reach", Args: oneArgument("issuer"),
		Long: "Reads the discovery document and the key set of an issuer from here, or from files, and sends them. It runs beside an issuer that the server cannot reach, as an application that holds Issuers.Push and that the issuer names (`cambio issuer create ISSUER --pushed-by CLIENT-ID`).\n\n" +
			"With --every it goes on until it is stopped, and a push that fails is tried again; the server uses what was pushed for a day, unless --max-age of the issuer says otherwise.",
		Example: "  cambio issuer push https://k8s.lab.example --ca-file ca.pem --allow-address 10.0.0.0/8 --every 5m\n" +
			"  cambio issuer push https://k8s.lab.example --discovery-file openid-configuration.json --jwks-file jwks.json",
	}
	o.register(cmd)
	cmd.Flags().StringVar(&discovery, "discovery-file", "", "`FILE` with the discovery document")
	cmd.Flags().StringVar(&keySet, "jwks-file", "", "`FILE` with the key set")
	cmd.Flags().DurationVar(&every, "every", 0, "push again after this `TIME`, such as 5m, until stopped; 0: once")
	return c.writingQuietly(cmd, func(ctx context.Context, op *operation, args []string) error {
		if (discovery == "") != (keySet == "") {
			return usageError{errors.New("--discovery-file and --jwks-file belong together")}
		}
		push := func() error {
			d, k, err := o.documents(ctx, args[0], discovery, keySet)
			if err == nil {
				err = op.PushIssuerKeys(ctx, args[0], d, k)
			}
			if err == nil && !op.dryRun {
				op.note("Pushed the keys of %s.", args[0])
			}
			return err
		}
		if every == 0 || op.dryRun {
			return push()
		}
		return repeatedly(ctx, every, push, func(err error) { op.note("The keys were not pushed: %v. The next attempt follows.", err) })
	})
}

// repeatedly does something until ctx ends, which is no failure.
func repeatedly(ctx context.Context, every time.Duration, do func() error, failed func(error)) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if err := do(); err != nil && ctx.Err() == nil {
			failed(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// documents are read from files, or from the issuer.
func (o *checkOptions) documents(ctx context.Context, issuer, discovery, keySet string) (d, k []byte, err error) {
	if discovery == "" {
		settings, err := o.settings(issuer)
		if err != nil {
			return nil, nil, err
		}
		d, k, err = oidc.Documents(ctx, settings, issuer)
		if cause := errors.Unwrap(err); cause != nil {
			err = fmt.Errorf("%w (%v); `cambio issuer check %s` says what to do", err, cause, issuer)
		}
		return d, k, err
	}
	for _, f := range []struct {
		flag, file string
		into       *[]byte
	}{{"--discovery-file", discovery, &d}, {"--jwks-file", keySet, &k}} {
		if *f.into, err = readPEM(f.flag, f.file); err != nil {
			return nil, nil, err
		}
		if !jsontext.Value(*f.into).IsValid() {
			return nil, nil, fmt.Errorf("%s %s is not JSON", f.flag, f.file)
		}
	}
	return d, k, nil
}
