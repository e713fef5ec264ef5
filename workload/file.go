package workload

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// maxToken bounds a platform's token, in bytes.
const maxToken = 64 << 10

// commandTimeout bounds a program that prints a token.
const commandTimeout = time.Minute

// Where the webhook of azure-workload-identity mounts the token of a pod,
// since its version 1.6 and before.
var projectedTokens = []string{"/var/run/secrets/azure/wi/token/azure-identity-token", "/var/run/secrets/azure/tokens/azure-identity-token"}

func filePlatform() Platform {
	name := func(e Environment) (file, said string) {
		if e.File != "" {
			return e.File, "the file " + e.File + " is named"
		}
		if file := e.Env("CAMBIO_FEDERATED_TOKEN_FILE"); file != "" {
			return file, "CAMBIO_FEDERATED_TOKEN_FILE names " + file
		}
		return "", "no file is named"
	}
	return Platform{
		Name: "file", Title: "a file", Level: Given,
		Find: func(e Environment) (bool, string) {
			file, said := name(e)
			return file != "", said
		},
		Source: func(e Environment) Source {
			return func(context.Context, string) (string, error) {
				file, _ := name(e)
				if file == "" {
					return "", Settingsf("the source file needs --file FILE or CAMBIO_FEDERATED_TOKEN_FILE")
				}
				return e.readToken(file)
			}
		},
	}
}

func variablePlatform() Platform {
	return Platform{
		Name: "variable", Title: "an environment variable", Level: Given,
		Find: func(e Environment) (bool, string) {
			if e.Variable == "" {
				return false, "no variable is named"
			}
			return true, "the variable " + e.Variable + " is named"
		},
		Source: func(e Environment) Source {
			return func(context.Context, string) (string, error) {
				if e.Variable == "" {
					return "", Settingsf("the source variable needs --variable NAME")
				}
				return oneToken([]byte(e.Env(e.Variable)), "the variable "+e.Variable)
			}
		},
	}
}

func commandPlatform() Platform {
	return Platform{
		Name: "command", Title: "a program that prints the token", Level: Given,
		Find: func(e Environment) (bool, string) {
			if len(e.Command) == 0 {
				return false, "--command is not given"
			}
			return true, "--command names " + e.Command[0]
		},
		Source: func(e Environment) Source {
			return func(ctx context.Context, audience string) (string, error) {
				if len(e.Command) == 0 {
					return "", Settingsf("the source command needs --command PROGRAM")
				}
				return runForToken(ctx, e.Command[0], e.Command[1:]...)
			}
		},
	}
}

func kubernetesPlatform() Platform {
	name := func(e Environment) (file, said string) {
		if file := e.Env("AZURE_FEDERATED_TOKEN_FILE"); file != "" {
			return file, "AZURE_FEDERATED_TOKEN_FILE names " + file
		}
		for _, file := range projectedTokens {
			if _, err := e.Read(file); err == nil {
				return file, file + " is there"
			}
		}
		said = "AZURE_FEDERATED_TOKEN_FILE is not set and no token is mounted where the webhook puts it"
		if e.Env("KUBERNETES_SERVICE_HOST") != "" {
			said += ", though this is a pod: is it labelled azure.workload.identity/use: \"true\"?"
		}
		return "", said
	}
	return Platform{
		Name: "kubernetes", Title: "Kubernetes, a projected service account token", Level: Given,
		Find: func(e Environment) (bool, string) {
			file, said := name(e)
			return file != "", said
		},
		Source: func(e Environment) Source {
			return func(context.Context, string) (string, error) {
				file, said := name(e)
				if file == "" {
					return "", Settingsf("%s; label the pod azure.workload.identity/use: \"true\", or mount a projected volume with a serviceAccountToken of the audience %s and name it in AZURE_FEDERATED_TOKEN_FILE", said, DefaultAudience)
				}
				return e.readToken(file)
			}
		},
	}
}

// readToken reads a token from a file. It is read each time: the platform
// replaces it.
func (e Environment) readToken(file string) (string, error) {
	raw, err := e.Read(file)
	if err != nil {
		return "", Settingsf("the token file cannot be read: %w", err)
	}
	return oneToken(raw, "the token file "+file)
}

// oneToken is a token without the white space around it.
func oneToken(raw []byte, where string) (string, error) {
	token := strings.TrimSpace(string(raw))
	switch {
	case token == "":
		return "", Settingsf("%s is empty", where)
	case len(token) > maxToken:
		return "", Settingsf("%s is longer than %d KiB, which no token is", where, maxToken>>10)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", Settingsf("%s holds more than one word; it must hold the token and nothing else", where)
	}
	return token, nil
}

// runForToken runs a program, without a shell, and takes what it prints.
func runForToken(ctx context.Context, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &limitedWriter{&out, maxToken + 1}, &limitedWriter{&complaint, 1 << 10}
	cmd.WaitDelay = 5 * time.Second // for what it started and left behind
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("it took longer than %s", commandTimeout)
		}
		return "", fmt.Errorf("%s gave no token: %w%s", program, err, said(complaint.String()))
	}
	return oneToken(out.Bytes(), "what "+program+" printed")
}

// said is the last line of what a program complained of.
func said(complaint string) string {
	lines := strings.Split(strings.TrimSpace(complaint), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return ": " + last
	}
	return ""
}

// limitedWriter keeps the first bytes of what is written.
type limitedWriter struct {
	to   io.Writer
	left int
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	w.left -= n
	_, err := w.to.Write(p[:n])
	return len(p), err
}
