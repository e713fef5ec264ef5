package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"

	"cambio/internal/config"
	"cambio/internal/store"
)

// storeConfig is the database of a configuration.
func storeConfig(cfg config.Config, log *slog.Logger) store.Config {
	d := cfg.Database
	host, _ := os.Hostname() // empty when there is none
	return store.Config{Path: d.Path, DSN: d.DSN, AcceptLostWrites: d.AcceptLostWrites, RequireStandby: d.RequireStandby, PollInterval: d.PollInterval, Readers: d.Connections,
		Replica: host + "/" + strconv.Itoa(os.Getpid()), Logger: log}
}

// databaseKey is the key of the configuration that says where the database is.
func databaseKey(cfg config.Config) string {
	if cfg.Database.DSN != "" {
		return "database.dsn"
	}
	return "database.path"
}

// installed refuses a database that was never set up: an empty one made here
// would look healthy and refuse everybody.
func installed(ctx context.Context, cfg config.Config) error {
	there, err := store.Exists(ctx, storeConfig(cfg, slog.Default()))
	if err != nil {
		return fmt.Errorf("%s: %w", databaseKey(cfg), err)
	}
	switch {
	case there:
		return nil
	case cfg.Database.DSN != "":
		return errors.New("database.dsn: the database is empty; check its name and search_path, or set it up with `cambio bootstrap`")
	}
	return fmt.Errorf("database.path: there is no database at %s; check the path and its mount, or make one with `cambio bootstrap`", cfg.Database.Path)
}

// lockDatabase keeps a second server off an SQLite database. Servers share one
// of PostgreSQL.
func lockDatabase(cfg config.Config) (io.Closer, error) {
	if cfg.Database.DSN != "" {
		return io.NopCloser(nil), nil
	}
	return store.LockServer(cfg.Database.Path)
}

// onlySQLite refuses a command that works on the file of a database.
func onlySQLite(cfg config.Config, instead string) error {
	if cfg.Database.DSN != "" {
		return errors.New("this works on SQLite databases; the configuration names one of PostgreSQL. " + instead)
	}
	return nil
}
