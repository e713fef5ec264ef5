package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"cambio/internal/admin"
	"cambio/internal/config"
	"cambio/internal/directory"
	"cambio/internal/explain"
	"cambio/internal/rehearsal"
	"cambio/internal/store"
)

// explainFlags are the flags of `cambio explain`.
type explainFlags struct {
	token, client, resource, source string
	form                            string
}

func explainCommand() *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use: "explain [CORRELATION-ID | TRACE-ID]", Short: "Say why a token was refused or accepted, and what to change",
		Long: "Explains a decision of the audit trail by the correlation id or the trace id that the refusal shows: the client, how the issuer was resolved, key, signature and times, each credential that came near field by field, the class of near miss (docs/near-misses.md), and what to change.\n\n" +
			"With --token and --client it explains what would be decided about a token now. Nothing is issued and nothing recorded, and the fields are compared even where the issuer cannot be reached. The token is sent to your own server only; - reads it from standard input.\n\n" +
			"It takes AuditLog.Read.All or Application.ReadWrite.All, or Application.ReadWrite.OwnedBy and to be an owner of the application. With --state DIR of a development server that is not running, it reads the server's database itself, and looks at no signature.",
		Example: "  cambio explain 0b3f2a51-7c1e-4f7d-9a52-6d1f8e3c4b7a\n" +
			"  cambio explain --token token.jwt --client shop-ci\n" +
			"  cambio explain --token token.jwt --client 6731de76-14a6-49ae-97bc-6eba6914391e --resource api://orders -o json",
		Args: cobra.MaximumNArgs(1),
	}
	c := connectionFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.token, "token", "", "`FILE` with a token to explain; - for standard input")
	flags.StringVar(&f.client, "client", "", "client `ID`, or the name of the application, that the token is presented for")
	flags.StringVar(&f.resource, "resource", "", "`IDENTIFIER` of a protected resource, to see also which roles would be given")
	flags.StringVar(&f.source, "source", "", "network `ADDRESS` that the token would come from, for credentials that are bound to some")
	flags.StringVarP(&f.form, "output", "o", formText, "`FORM` of the output: text, json or yaml")
	_ = errors.Join(cmd.MarkFlagFilename("token"), // the flags are there
		cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{formText, formJSON, formYAML}, cobra.ShellCompDirectiveNoFileComp)))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(args); err != nil {
			return err
		}
		raw, err := f.explain(cmd, c, args)
		if err != nil {
			return err
		}
		return f.print(cmd.OutOrStdout(), raw)
	}
	return cmd
}

const formText = "text"

func (f *explainFlags) check(args []string) error {
	switch {
	case f.form != formText && f.form != formJSON && f.form != formYAML:
		return usageError{fmt.Errorf("--output %q must be text, json or yaml", f.form)}
	case len(args) == 1 && f.token != "":
		return usageError{errors.New("say what to explain: an id, or --token, not both")}
	case len(args) == 1 && f.client+f.resource+f.source != "":
		return usageError{errors.New("--client, --resource and --source go with --token; a recorded decision has its own")}
	case len(args) == 1 && (len(args[0]) != 36 || uuid.Validate(args[0]) != nil):
		return usageError{fmt.Errorf("%q is no correlation id or trace id: the refusal shows both, as in 0b3f2a51-7c1e-4f7d-9a52-6d1f8e3c4b7a", args[0])}
	case len(args) == 0 && f.token == "":
		return usageError{errors.New("say what to explain: the correlation id or trace id of a decision, or --token FILE --client ID")}
	case len(args) == 0 && f.client == "":
		return usageError{errors.New("say for which client the token is presented: --client ID")}
	}
	return nil
}

// explain gets the explanation as JSON.
func (f *explainFlags) explain(cmd *cobra.Command, c *connection, args []string) (jsontext.Value, error) {
	ctx := cmd.Context()
	var presented string
	if f.token != "" {
		var err error
		if presented, err = f.read(cmd.InOrStdin()); err != nil {
			return nil, err
		}
		if dir := c.flags.State; dir != "" && isStopped(dir) {
			fmt.Fprintln(cmd.ErrOrStderr(), "The development server is not running: its database is read, and no signature is looked at.")
			return f.offline(ctx, dir, presented)
		}
	}
	client, err := c.client(nil)
	if err != nil {
		return nil, err
	}
	if len(args) == 1 {
		return recorded(ctx, client, args[0], cmd.ErrOrStderr())
	}
	id := f.client
	if uuid.Validate(id) != nil {
		app, err := client.FindApplication(ctx, id)
		if err != nil {
			return nil, err
		}
		id = app.AppID
	}
	return client.ExplainToken(ctx, admin.Question{ClientID: strings.ToLower(id), Token: presented, Resource: f.resource, Source: f.source})
}

// recorded is the newest decision with an id.
func recorded(ctx context.Context, client *admin.Client, id string, notes io.Writer) (jsontext.Value, error) {
	started, said := time.Now(), false
	found, err := client.Explanations(ctx, id, func() {
		if !said && time.Since(started) > 2*time.Second {
			said = true
			fmt.Fprintln(notes, "Looking through the audit trail …")
		}
	})
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, &admin.Error{Status: 404, Code: "notFound", Message: "no decision that you may see has the id " + id + "; requests that were not examined (429) have no record, and retention removes old ones"}
	case len(found) > 1:
		fmt.Fprintf(notes, "%d more decisions have this correlation id; this is the newest. A trace id names one alone.\n", len(found)-1)
	}
	return found[0], nil
}

// mostToken is how long a token may be, in bytes.
const mostToken = 64 << 10

func (f *explainFlags) read(stdin io.Reader) (string, error) {
	from := stdin
	if f.token != "-" {
		file, err := os.Open(f.token)
		if err != nil {
			return "", usageError{err}
		}
		defer file.Close()
		from = file
	}
	raw, err := io.ReadAll(io.LimitReader(from, mostToken+1))
	switch text := strings.TrimSpace(string(raw)); {
	case err != nil:
		return "", err
	case text == "":
		return "", usageError{errors.New("the token is empty")}
	case len(raw) > mostToken:
		return "", usageError{fmt.Errorf("the token is longer than %d bytes", mostToken)}
	default:
		return text, nil
	}
}

// isStopped reports whether a state folder is that of a development server
// that does not run now.
func isStopped(dir string) bool {
	_, running := os.Stat(filepath.Join(dir, admin.StateFile))
	_, made := os.Stat(filepath.Join(dir, "cambio.db"))
	return errors.Is(running, os.ErrNotExist) && made == nil
}

// offline explains a token against the database of a development server.
func (f *explainFlags) offline(ctx context.Context, dir, presented string) (raw jsontext.Value, err error) {
	source := auditSource{state: dir}
	err = source.with(ctx, func(_ config.Config, db *store.DB) error {
		records := db.Records(store.RecordsConfig{})
		tenant, err := records.Tenant(ctx, store.DefaultTenant)
		if err != nil {
			return err
		}
		client, err := f.find(ctx, db, records, tenant.ID)
		if err != nil && !store.IsNotFound(err) {
			return err
		}
		e := rehearsal.Explain(tenant, client, presented, time.Now())
		if client == nil {
			e.Client.ID = f.client
		}
		raw, err = json.Marshal(e, json.Deterministic(true))
		return err
	})
	return raw, err
}

func (f *explainFlags) find(ctx context.Context, db *store.DB, records *store.Records, tenantID string) (*directory.ClientRecord, error) {
	id := f.client
	if uuid.Validate(id) != nil {
		named, _, err := db.Applications(ctx, tenantID, store.ListQuery{Field: "displayName", Op: "eq", Value: id})
		if err != nil {
			return nil, err
		}
		if len(named) != 1 {
			return nil, usageError{fmt.Errorf("--client: %d applications are called %q; give the client id", len(named), id)}
		}
		id = named[0].AppID
	}
	return records.Client(ctx, tenantID, id)
}

func (f *explainFlags) print(out io.Writer, raw jsontext.Value) error {
	if f.form != formText {
		return printDocument(out, f.form, raw)
	}
	var e explain.Explanation
	if err := json.Unmarshal(raw, &e); err != nil {
		return fmt.Errorf("the server's answer cannot be read: %w", err)
	}
	_, err := io.WriteString(out, e.Text())
	return err
}
