package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const cliPage = "../../docs/cli.md"

// TestGeneratedPages compares docs/cli.md with what the commands say.
func TestGeneratedPages(t *testing.T) {
	text := commandLinePage(rootCommand())
	if *update {
		if err := os.WriteFile(cliPage, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if readFile(t, cliPage) != text {
		t.Error("docs/cli.md is out of date; run `make generate`")
	}
}

// TestEveryCommandIsExplained wants of each command what its page is made of.
func TestEveryCommandIsExplained(t *testing.T) {
	walkCommands(rootCommand(), func(cmd *cobra.Command) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: Short must be a few words without a full stop: %q", cmd.CommandPath(), cmd.Short)
		}
		if cmd.Flags().Lookup("authority") != nil && !cmd.HasSubCommands() && !cmd.HasExample() {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Example) {
			if !strings.HasPrefix(line, "  "+cmd.CommandPath()) {
				t.Errorf("%s: the example is for another command: %s", cmd.CommandPath(), line)
			}
		}
	})
}

// Every example of a management command is one that the command takes, as far
// as can be told without a server: its flags exist and its arguments are
// enough.
func TestExamplesAreWellFormed(t *testing.T) {
	walkCommands(rootCommand(), func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Example) {
			words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), cmd.CommandPath()))
			for i, w := range words {
				if w == "|" || strings.HasPrefix(w, "<<<") { // the shell's part
					words = words[:i]
					break
				}
			}
			fresh, _, err := rootCommand().Find(strings.Fields(cmd.CommandPath())[1:])
			if err != nil {
				t.Fatal(err)
			}
			words = unquoted(strings.Join(words, " "))
			if err := fresh.ParseFlags(words); err != nil {
				t.Errorf("%s: %v", line, err)
				continue
			}
			if err := fresh.ValidateArgs(fresh.Flags().Args()); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	})
}

// unquoted parts a line into words as a shell would, as far as the examples
// need it.
func unquoted(line string) []string {
	var words []string
	var quote rune
	word := ""
	for _, r := range line + " " {
		switch {
		case quote == 0 && (r == '"' || r == '\''):
			quote = r
		case r == quote:
			quote = 0
		case r == ' ' && quote == 0:
			if word != "" {
				words = append(words, word)
			}
			word = ""
		default:
			word += string(r)
		}
	}
	return words
}

func walkCommands(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, c := range cmd.Commands() {
		walkCommands(c, visit)
	}
}

// commandLinePage is docs/cli.md.
func commandLinePage(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# Command line\n\nGenerated from the program by `make generate`; do not edit.\n\n" +
		"Each command explains itself with `--help`. `cambio completion bash|zsh|fish|powershell` prints a script for the shell; it completes names of applications, identities and resources by asking the server.\n\n")
	fmt.Fprintf(&b, "## Connection\n\nThe commands that manage what is registered find their server by these flags, else by the environment variables in brackets. "+
		"With neither, they find the `cambio dev` server that runs with the default state folder. What a flag says goes before a variable, `CAMBIO_…` before `AZURE_…`. "+
		"They sign in as every workload does, with a federated token, and need roles of the management resource: `Application.Read.All` to look, `Application.ReadWrite.All` (or `.OwnedBy`), "+
		"`AppRoleAssignment.ReadWrite.All` and `ManagedIdentity.ReadWrite.All` to change. `cambio doctor` says what is missing.\n\n")
	who, _, _ := root.Find([]string{"whoami"})
	_, connecting := flagGroups(who)
	flagTable(&b, connecting)
	b.WriteString("\nCommands that create or change take `--dry-run`: it prints each request that would change something, method, URL and body, and sends none. Results go to standard output in the form of `-o`, " +
		"remarks to standard error. Deleting asks first on a terminal, unless `--yes` is given.\n")
	for _, c := range root.Commands() {
		if c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		if c.IsAdditionalHelpTopicCommand() {
			fmt.Fprintf(&b, "\n## %s\n\n%s\n", c.Short, topicMarkdown(c.Long))
			continue
		}
		commandSection(&b, c, 2)
	}
	return b.String()
}

func topicMarkdown(text string) string {
	var b strings.Builder
	inside := false
	for line := range strings.Lines(text) {
		if indented := strings.HasPrefix(line, "  "); indented != inside && strings.TrimSpace(line) != "" {
			inside = indented
			if inside {
				b.WriteString("| code | meaning |\n|---|---|\n")
			}
		}
		if code, meaning, ok := strings.Cut(strings.TrimSpace(line), "  "); inside && ok {
			fmt.Fprintf(&b, "| %s | %s |\n", code, meaning)
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}

func commandSection(b *strings.Builder, cmd *cobra.Command, level int) {
	fmt.Fprintf(b, "\n%s %s\n\n%s.", strings.Repeat("#", level), cmd.CommandPath(), cmd.Short)
	if cmd.Long != "" {
		fmt.Fprintf(b, " %s", strings.ReplaceAll(strings.ReplaceAll(cmd.Long, "\n\n", "\n"), "\n", "\n\n"))
	}
	b.WriteString("\n")
	if cmd.HasAvailableSubCommands() && len(cmd.Aliases) > 0 {
		fmt.Fprintf(b, "\nAlso: `cambio %s`.\n", strings.Join(cmd.Aliases, "`, `cambio "))
	}
	if cmd.Runnable() && (!cmd.HasAvailableSubCommands() || cmd.HasExample()) {
		fmt.Fprintf(b, "\n    %s\n", cmd.UseLine())
		if cmd.HasExample() {
			fmt.Fprintf(b, "\nExamples:\n\n%s\n", indent(cmd.Example))
		}
		if own, _ := flagGroups(cmd); own.HasAvailableFlags() {
			b.WriteString("\n")
			flagTable(b, own)
		}
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			commandSection(b, c, min(level+1, 4))
		}
	}
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("    " + strings.TrimLeft(line, " "))
	}
	return b.String()
}

func flagTable(b *strings.Builder, flags *pflag.FlagSet) {
	b.WriteString("| flag | meaning |\n|---|---|\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		value, usage := pflag.UnquoteUsage(f)
		if value != "" {
			name += " " + value
		}
		if d := f.DefValue; d != "" && d != "false" && d != "0" && d != "[]" {
			usage += fmt.Sprintf(" (default `%s`)", d)
		}
		fmt.Fprintf(b, "| `%s` | %s |\n", name, strings.ReplaceAll(usage, "|", "\\|"))
	})
}
