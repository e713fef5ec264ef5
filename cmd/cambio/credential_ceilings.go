package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"cambio/internal/admin"
	"cambio/internal/directory"
)

// ceilingFlags bound what a credential can be used for.
type ceilingFlags struct {
	disable, enable           bool
	reportOnly                bool
	notBefore, notAfter       string
	roles, resources, sources []string
	maxLifetime               time.Duration
}

var ceilingNames = []string{"disable", "enable", "report-only", "not-before", "not-after", "roles", "resources", "max-lifetime", "source"}

func (f *ceilingFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.disable, "disable", false, "refuse it until it is enabled")
	flags.BoolVar(&f.enable, "enable", false, "accept it again")
	flags.BoolVar(&f.reportOnly, "report-only", false, "record what it matches, and issue nothing; --report-only=false lifts it")
	flags.StringVar(&f.notBefore, "not-before", "", "accept it from this `TIME` on, as in 2027-01-31T18:00:00Z")
	flags.StringVar(&f.notAfter, "not-after", "", "refuse it from this `TIME` on")
	flags.StringSliceVar(&f.roles, "roles", nil, "give out no app `ROLES` but these, by value")
	flags.StringSliceVar(&f.resources, "resources", nil, "give out tokens for no resources but these, by `APPID`")
	flags.DurationVar(&f.maxLifetime, "max-lifetime", 0, "give out access tokens for at most this `DURATION`, as in 15m; 0 lifts it")
	flags.StringSliceVar(&f.sources, "source", nil, "accept it from this `NETWORK` only, as in 192.0.2.0/24; repeatable")
}

func ceilingsChanged(cmd *cobra.Command) bool {
	return slices.ContainsFunc(ceilingNames, cmd.Flags().Changed)
}

// change applies the flags that were given to a credential.
func (f *ceilingFlags) change(cmd *cobra.Command, want *admin.Credential) error {
	if !ceilingsChanged(cmd) {
		return nil
	}
	if f.disable && f.enable {
		return usageError{errors.New("--disable and --enable exclude each other")}
	}
	var c directory.Ceilings
	if want.Ceilings != nil {
		c = *want.Ceilings
	}
	c.Disabled = f.disable || c.Disabled && !f.enable
	changed := cmd.Flags().Changed
	if changed("report-only") {
		c.ReportOnly = f.reportOnly
	}
	for _, t := range []struct {
		flag, text string
		to         *time.Time
	}{{"not-before", f.notBefore, &c.NotBefore}, {"not-after", f.notAfter, &c.NotAfter}} {
		if !changed(t.flag) {
			continue
		}
		*t.to = time.Time{}
		if t.text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, t.text)
		if err != nil {
			return usageError{fmt.Errorf("--%s takes a time such as 2027-01-31T18:00:00Z, not %q", t.flag, t.text)}
		}
		*t.to = at.UTC()
	}
	for _, l := range []struct {
		flag   string
		values []string
		to     *[]string
	}{{"roles", f.roles, &c.Roles}, {"resources", f.resources, &c.Resources}, {"source", f.sources, &c.Sources}} {
		if changed(l.flag) {
			*l.to = l.values
		}
	}
	if changed("max-lifetime") {
		if f.maxLifetime%time.Second != 0 {
			return usageError{errors.New("--max-lifetime takes whole seconds")}
		}
		c.MaxLifetime = int(f.maxLifetime / time.Second)
	}
	want.Ceilings = &c
	return nil
}
