package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// interruptible is an input that stops waiting when its context ends: a
// terminal gives nothing until a line is complete, and Ctrl-C only ends the
// context.
type interruptible struct {
	io.Reader
	ctx context.Context
}

// input is the standard input of a command.
func input(cmd *cobra.Command) io.Reader { return interruptible{cmd.InOrStdin(), cmd.Context()} }

// Read returns the context's error when it ends first; what is read afterwards
// is lost.
func (r interruptible) Read(p []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	buffer, done := make([]byte, len(p)), make(chan result, 1)
	go func() {
		n, err := r.Reader.Read(buffer)
		done <- result{n, err}
	}()
	select {
	case <-r.ctx.Done():
		return 0, r.ctx.Err()
	case got := <-done:
		return copy(p, buffer[:got.n]), got.err
	}
}

// saysYes reads the answer of a person. No answer is no; the error is that of
// an interrupt.
func saysYes(in io.Reader) (bool, error) {
	answer, err := bufio.NewReader(in).ReadString('\n')
	if errors.Is(err, context.Canceled) {
		return false, err
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes", nil
}

// isTerminal reports whether a person may be at the other end. The null device
// is a character device too.
func isTerminal(stream any) bool {
	if wrapped, ok := stream.(interruptible); ok {
		stream = wrapped.Reader
	}
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
