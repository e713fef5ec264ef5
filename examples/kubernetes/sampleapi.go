package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"cambio/conformance/devserver"
)

// sampleAPI runs examples/sample-api and calls it with every kind of token.
func (d *demo) sampleAPI(ctx context.Context) error {
	d.step("The same with an API of our own, a few lines of Go: examples/sample-api.")
	url, stop, err := d.startSampleAPI(ctx)
	if err != nil {
		return err
	}
	defer stop()
	for _, call := range []struct {
		who, token string
		want       int
	}{
		{"the worker, with its role", d.worker.orders, http.StatusOK},
		{"the outsider, without a role", d.outsider.orders, http.StatusForbidden},
		{"the worker, with its token for the cluster", d.worker.cluster, http.StatusUnauthorized},
		{"the worker, with its service account token", d.assertion, http.StatusUnauthorized},
		{"somebody without a token", "", http.StatusUnauthorized},
	} {
		if err := d.call(ctx, url, call.who, call.token, call.want); err != nil {
			return err
		}
	}
	return nil
}

// startSampleAPI builds the example and runs it until stop is called.
func (d *demo) startSampleAPI(ctx context.Context) (url string, stop func(), err error) {
	root, err := devserver.Root()
	if err != nil {
		return "", nil, err
	}
	program := filepath.Join(d.dir, "sample-api")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./examples/sample-api")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	args := []string{"-issuer", d.issuer(), "-audience", d.resource.orders.AppID, "-ca", d.server.CAFile, "-listen", "127.0.0.1:0"}
	d.command("go run ./examples/sample-api %s", strings.Join(args, " "))
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return "", nil, err
	}
	stop = func() {
		cancel()
		cmd.Wait() // it was killed
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	_, url, found := strings.Cut(strings.TrimSpace(line), "sample API at ")
	if err != nil || !found {
		stop()
		return "", nil, fmt.Errorf("the sample API printed %q: %w", line, err)
	}
	return url, stop, nil
}

// call makes one request and compares its status.
func (d *demo) call(ctx context.Context, url, who, token string, want int) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	header := ""
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
		header = fmt.Sprintf(" -H 'Authorization: Bearer %.12s...'", token)
	}
	d.command("curl%s %s   # %s", header, url, who)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if challenge := response.Header.Get("WWW-Authenticate"); challenge != "" {
		body = []byte("WWW-Authenticate: " + challenge)
	}
	d.result("%s  %s", response.Status, strings.TrimSpace(string(body)))
	if response.StatusCode != want {
		return fmt.Errorf("want status %d", want)
	}
	return nil
}
