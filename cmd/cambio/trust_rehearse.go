package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/rehearsal"
	"cambio/internal/trust"
)

const formJUnit = "junit"

// managementRoles are the app roles of the management resource, id → value.
func managementRoles() map[string]string {
	roles := map[string]string{}
	for _, r := range management.Roles() {
		roles[r.ID] = r.Value
	}
	return roles
}

func trustTestCommand() *cobra.Command {
	var files, tests []string
	var form, compat string
	cmd := &cobra.Command{
		Use: "test -f FILE -t TESTS", Short: "Try claim sets against a trust configuration, without a server", Args: noArguments,
		Long: "Presents the claims of each test case to its client and compares what the token endpoint's own matching decides with what the case expects: the name of a credential, or the number of a refusal. Signatures and times are not looked at. Ends with code 1 when a case fails, and with 2 when a file cannot be used.\n\n" +
			"A case names its client as the file does: by uniqueName or appId, by resourceGroup/name or clientId of a managed identity, or by a displayName or name that only one of them has.",
		Example: "  cambio test -f trust.yaml -t trust-tests.yaml\n  cambio test -f trust.yaml -t trust-tests.yaml -o junit",
	}
	filesFlag(cmd, &files)
	cmd.Flags().StringArrayVarP(&tests, "tests", "t", nil, "test cases (`FILE`) in YAML or JSON; repeatable")
	cmd.Flags().StringVar(&compat, "compat", string(directory.Relaxed), "compatibility `LEVEL` of the tenant: relaxed or strict")
	_ = cmd.MarkFlagFilename("tests", "yaml", "yml", "json") // the flag is there
	formFlag(cmd, &form, formTable, formTable, formJSON, formJUnit)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := directory.CheckCompat(directory.Compat(compat)); err != nil {
			return usageError{err}
		}
		results, err := runTrustTests(cmd, files, tests, directory.Compat(compat))
		if err != nil {
			return usageError{err} // nothing was tried: not the code of a case that fails
		}
		if err := printResults(cmd.OutOrStdout(), form, results); err != nil {
			return err
		}
		if n := failures(results); n > 0 {
			return fmt.Errorf("%s of %d failed", counted(n, "case"), len(results))
		}
		return nil
	}
	return cmd
}

func runTrustTests(cmd *cobra.Command, files, tests []string, compat directory.Compat) ([]rehearsal.Result, error) {
	d, err := readTrust(cmd, files)
	if err != nil {
		return nil, err
	}
	if len(tests) == 0 {
		return nil, usageError{errors.New("name test cases with -t FILE")}
	}
	clients, err := d.Clients(compat)
	if err != nil {
		return nil, err
	}
	var results []rehearsal.Result
	for _, file := range tests {
		raw, err := readInput(input(cmd), file)
		if err != nil {
			return nil, err
		}
		cases, err := trust.ParseCases(file, raw)
		if err != nil {
			return nil, err
		}
		results = append(results, rehearsal.Run(clients, cases)...)
	}
	if len(results) == 0 {
		return nil, errors.New("there are no test cases; a run that tries nothing is no success")
	}
	return results, nil
}

func failures(results []rehearsal.Result) int {
	n := 0
	for _, r := range results {
		if !r.Passed {
			n++
		}
	}
	return n
}

func printResults(out io.Writer, form string, results []rehearsal.Result) error {
	switch form {
	case formJSON:
		type result struct {
			Name   string `json:"name"`
			Passed bool   `json:"passed"`
			Want   string `json:"want"`
			Got    string `json:"got"`
			Class  string `json:"class,omitempty"` // of the near miss
			Why    string `json:"why,omitempty"`
		}
		list := make([]result, len(results))
		for i, r := range results {
			list[i] = result(r)
		}
		raw, err := json.Marshal(list)
		if err != nil {
			return err
		}
		return printDocument(out, formJSON, raw)
	case formJUnit:
		return printJUnit(out, results)
	}
	var b strings.Builder
	for _, r := range results {
		if r.Passed {
			fmt.Fprintf(&b, "ok    %s\n", tsvCell(r.Name))
			continue
		}
		fmt.Fprintf(&b, "FAIL  %s\n      - want  %s\n      + got   %s\n", tsvCell(r.Name), tsvCell(r.Want), tsvCell(r.Got))
		if r.Why != "" {
			fmt.Fprintf(&b, "      %s\n", tsvCell(strings.TrimPrefix(r.Class+": "+r.Why, ": ")))
		}
	}
	fmt.Fprintf(&b, "%d passed, %d failed.\n", len(results)-failures(results), failures(results))
	_, err := io.WriteString(out, b.String())
	return err
}

// The report of a run in the form that CI systems read.
type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		Failure *junitFailure `xml:"failure"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
	}
)

func printJUnit(out io.Writer, results []rehearsal.Result) error {
	suite := junitSuite{Name: "cambio test", Tests: len(results), Failures: failures(results)}
	for _, r := range results {
		c := junitCase{Name: r.Name, Class: "trust"}
		if !r.Passed {
			c.Failure = &junitFailure{"want " + r.Want + ", got " + r.Got}
		}
		suite.Cases = append(suite.Cases, c)
	}
	raw, err := xml.MarshalIndent(suite, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s%s\n", xml.Header, raw)
	return err
}
