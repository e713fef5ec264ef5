package kubernetes

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"cambio/test/realparts"
)

// process is a running program whose output goes to a file.
type process struct {
	log    string
	cancel context.CancelFunc
	done   chan struct{} // closed when the program has ended
}

// run starts a part with its log in the cluster's folder.
func (c *Cluster) run(ctx context.Context, part realparts.Part, args ...string) (*process, error) {
	path, err := realparts.Find(part)
	if err != nil {
		return nil, err
	}
	p := &process{log: c.path(string(part) + ".log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	ctx, p.cancel = context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second // then it is killed
	if err := cmd.Start(); err != nil {
		p.cancel()
		return nil, err
	}
	go func() {
		cmd.Wait() // how it ended is in its log
		log.Close()
		close(p.done)
	}()
	return p, nil
}

func (p *process) stop() {
	p.cancel()
	<-p.done
}

// lastLines is the end of the program's log, for an error message.
func (p *process) lastLines() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], " | ")
}
