package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// terminal opens a pseudoterminal: what is written to keyboard is typed there.
func terminal(t *testing.T) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no pseudoterminals here:", err)
	}
	t.Cleanup(func() { keyboard.Close() })
	var unlock, number int32
	for _, request := range []struct {
		code uintptr
		arg  *int32
	}{{syscall.TIOCSPTLCK, &unlock}, {syscall.TIOCGPTN, &number}} {
		if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, keyboard.Fd(), request.code, uintptr(unsafe.Pointer(request.arg))); e != 0 {
			t.Skip("no pseudoterminals here:", e)
		}
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudoterminals here:", err)
	}
	t.Cleanup(func() { screen.Close() })
	go func() { _, _ = bufio.NewReader(keyboard).WriteTo(new(bytes.Buffer)) }() // the echo
	return keyboard, screen
}

// On a terminal a person is asked, and only yes is yes.
func TestTokenIsConfirmedOnATerminal(t *testing.T) {
	p := rehearse(t, githubIssuer)
	token := p.token(t, platformTokens["github-acme-shop-prod"])
	file := p.file(t, token)
	for _, c := range []struct {
		typed string
		want  int
	}{{"\n", http.StatusUnauthorized}, {"no\n", http.StatusUnauthorized}, {"Yes\n", http.StatusOK}} {
		keyboard, screen := terminal(t)
		if _, err := keyboard.WriteString(c.typed); err != nil {
			t.Fatal(err)
		}
		var out, notes bytes.Buffer
		root := rootCommand()
		root.SetOut(&out)
		root.SetErr(&notes)
		root.SetIn(screen)
		root.SetArgs([]string{"credential", "create", "--state", p.dir, "--app", p.app, "--from-token", file})
		if err := root.ExecuteContext(context.Background()); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(notes.String(), "subject repo:acme@1234567/shop@89012345:environment:prod, audience api://AzureADTokenExchange? [y/N]") {
			t.Errorf("it was not asked:\n%s", &notes)
		}
		if status, refusal := p.exchange(t, p.app, token); status != c.want {
			t.Errorf("after %q: %d %s", c.typed, status, refusal)
		}
		if proposed := strings.Contains(out.String(), "not created"); proposed == (c.want == http.StatusOK) {
			t.Errorf("after %q:\n%s", c.typed, &out)
		}
	}
}

// cancelling is what a person is told, who gives up when asked.
type cancelling struct {
	bytes.Buffer
	cancel func()
}

func (c *cancelling) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "[y/N]") {
		c.cancel()
	}
	return c.Buffer.Write(p)
}

// Ctrl-C at a question ends the command, though the terminal gives nothing.
func TestQuestionsAreInterrupted(t *testing.T) {
	p := rehearse(t, githubIssuer)
	file := p.file(t, p.token(t, platformTokens["github-acme-shop-prod"]))
	for _, args := range [][]string{
		{"credential", "create", "--app", p.app, "--from-token", file},
		{"app", "delete", p.app},
		{"apply", "-f", p.file(t, trustFile)},
	} {
		_, screen := terminal(t)
		ctx, cancel := context.WithCancel(context.Background())
		notes := &cancelling{cancel: cancel}
		root := rootCommand()
		root.SetOut(new(bytes.Buffer))
		root.SetErr(notes)
		root.SetIn(screen)
		root.SetArgs(append(args, "--state", p.dir))
		if err := root.ExecuteContext(ctx); exitCode(err) != exitInterrupted {
			t.Errorf("%q: %v\n%s", args, err, notes)
		}
	}
	root := rootCommand()
	root.SetOut(new(bytes.Buffer))
	root.SetArgs([]string{"app", "show", p.app, "--state", p.dir})
	if err := root.Execute(); err != nil {
		t.Error("it was deleted:", err)
	}
}

// So it does while a file is typed.
func TestInputIsInterrupted(t *testing.T) {
	p := rehearse(t, githubIssuer)
	for _, args := range [][]string{
		{"app", "update", p.app, "--json", "-"},
		{"credential", "create", "--app", p.app, "--from-token", "-"},
		{"credential", "create", "--app", p.app, "--parameters", "-"},
	} {
		_, screen := terminal(t)
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		root := rootCommand()
		root.SetIn(screen)
		root.SetArgs(append(args, "--state", p.dir))
		err := root.ExecuteContext(ctx)
		cancel()
		if err == nil || ctx.Err() == nil {
			t.Errorf("%q: %v", args, err)
		}
	}
}
