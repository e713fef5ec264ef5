// Command writer writes to a database of cambio as fast as it can, from eight
// places, and says on its standard output what was acknowledged: the names of
// credentials and the ids of decisions. It goes on until it is killed.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"

	"cambio/internal/audit"
	"cambio/internal/directory"
	"cambio/internal/store"
)

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "writer:", err)
		os.Exit(1)
	}
}

func run(where, round string) error {
	ctx := context.Background()
	cfg := store.Config{Path: where, Logger: slog.New(slog.DiscardHandler)} // it goes on until it is killed, without its database too
	if strings.HasPrefix(where, "postgres:") {
		cfg.Path, cfg.DSN, cfg.AcceptLostWrites = "", where, os.Getenv("ACCEPT_LOST_WRITES") != ""
	}
	db, err := store.Open(cfg)
	if err != nil {
		return err
	}
	app, err := application(ctx, db)
	if err != nil {
		return err
	}
	fmt.Printf("app %s %s\n", app.TenantID, app.ID)
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("w-%s-%d-%d", round, n, i)
				if n%2 == 0 {
					err = db.RecordDecision(ctx, &audit.Decision{Allowed: true, TraceID: name}, nil)
				} else {
					err = db.Write(ctx, store.Change{Action: "credential.create", CorrelationID: name}, func(tx *store.Tx) error {
						return tx.CreateCredential(&directory.FederatedIdentityCredential{TenantID: app.TenantID, ParentID: app.ID, Name: name,
							Issuer: "https://issuer.example", Subject: name, Audiences: []string{"api://AzureADTokenExchange"}})
					})
				}
				if err == nil {
					// One write to the pipe, so that lines are whole.
					_, _ = os.Stdout.WriteString(map[bool]string{true: "decision ", false: "credential "}[n%2 == 0] + name + "\n")
				}
			}
		})
	}
	group.Wait()
	return nil
}

// application finds the application of an earlier round, or makes one.
func application(ctx context.Context, db *store.DB) (directory.Application, error) {
	tenants, err := db.Tenants(ctx)
	if err != nil {
		return directory.Application{}, err
	}
	for _, t := range tenants {
		list, _, err := db.Applications(ctx, t.ID, store.ListQuery{})
		if err != nil || len(list) > 0 {
			return list[0], err
		}
	}
	var app directory.Application
	err = db.Write(ctx, store.Change{Action: "seed"}, func(tx *store.Tx) error {
		tenant := directory.Tenant{DisplayName: "Contoso", Compat: directory.Relaxed}
		if err := tx.CreateTenant(&tenant); err != nil {
			return err
		}
		app = directory.Application{TenantID: tenant.ID, DisplayName: "client"}
		return tx.CreateApplication(&app)
	})
	return app, err
}
