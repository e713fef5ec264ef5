package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"cambio/internal/jose"
	"cambio/internal/strictjson"
	"cambio/workload"
)

// Pauses after a renewal that failed, and between those of an assertion that
// does not say when it ends.
const (
	firstPause   = 5 * time.Second // doubled each time
	longestPause = time.Minute
	longestStep  = 30 * time.Second
)

// Config says what is kept fresh. Files that are not named are not kept.
type Config struct {
	Client        *workload.Client
	TokenFile     string // gets the access token
	AssertionFile string // gets the platform's own token
	Log           *slog.Logger
}

// kept is one file and where its content comes from.
type kept struct {
	file, what string
	// obtain returns the content and when to replace it.
	obtain func(context.Context) (content string, renew time.Time, err error)
	renew  time.Time
}

// Agent keeps files fresh.
type Agent struct {
	log   *slog.Logger
	files []*kept
}

// New makes an agent.
func New(cfg Config) *Agent {
	a := &Agent{log: cfg.Log}
	if cfg.TokenFile != "" {
		a.files = append(a.files, &kept{file: cfg.TokenFile, what: "access token", obtain: func(ctx context.Context) (string, time.Time, error) {
			t, err := cfg.Client.Token(ctx)
			return t.AccessToken, t.RenewAt(), err
		}})
	}
	if cfg.AssertionFile != "" {
		a.files = append(a.files, &kept{file: cfg.AssertionFile, what: "platform's token", obtain: func(ctx context.Context) (string, time.Time, error) {
			asked := time.Now()
			assertion, err := cfg.Client.Assertion(ctx)
			return assertion, halfLife(assertion, asked), err
		}})
	}
	return a
}

// Start writes every file for the first time.
func (a *Agent) Start(ctx context.Context) error {
	for _, k := range a.files {
		if err := a.refresh(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// Run replaces the files in time until the context ends. A renewal that fails
// is tried again, and again, while the content is still good.
func (a *Agent) Run(ctx context.Context) {
	done := make(chan struct{})
	for _, k := range a.files {
		go func() {
			defer func() { done <- struct{}{} }()
			a.keep(ctx, k)
		}()
	}
	for range a.files {
		<-done
	}
}

func (a *Agent) keep(ctx context.Context, k *kept) {
	pause := firstPause
	for again := k.renew; ; {
		// Waiting by the wall clock, in short steps, outlasts a machine's sleep.
		for left := untilWall(again); left > 0; left = untilWall(again) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(min(left, longestStep)):
			}
		}
		err := a.refresh(ctx, k)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			again, pause = k.renew, firstPause
			continue
		}
		a.log.Error("a token could not be renewed; it is tried again", "what", k.what, "file", k.file, "pause", pause.String(), "error", err.Error())
		again, pause = time.Now().Add(pause), min(2*pause, longestPause)
	}
}

func untilWall(t time.Time) time.Duration { return t.Round(0).Sub(time.Now().Round(0)) }

func (a *Agent) refresh(ctx context.Context, k *kept) error {
	content, renew, err := k.obtain(ctx)
	if err != nil {
		return err
	}
	if err := ReplaceFile(k.file, content); err != nil {
		return fmt.Errorf("the %s cannot be written: %w", k.what, err)
	}
	k.renew = renew
	a.log.Info("a token was renewed", "what", k.what, "file", k.file, "again", renew.UTC().Format(time.RFC3339))
	return nil
}

// halfLife is the middle of an assertion's life: whoever reads it has at least
// half of it left. What does not say when it ends is replaced every minute.
func halfLife(assertion string, asked time.Time) time.Time {
	jws, err := jose.ParseCompact(assertion)
	if err != nil {
		return asked.Add(longestPause)
	}
	claims, err := strictjson.ParseObject(jws.Payload, strictjson.Claims)
	if err != nil {
		return asked.Add(longestPause)
	}
	exp, ok, err := claims.Number("exp")
	if err != nil || !ok {
		return asked.Add(longestPause)
	}
	left := time.Unix(int64(exp), 0).Sub(asked)
	return asked.Add(max(left/2, time.Second))
}

// ReplaceFile puts a private file in place as a whole: whoever reads it finds
// the old content or the new, and nobody but its owner can. It ends without a
// line break, which would become part of the token in many a script.
func ReplaceFile(file, content string) error {
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it is gone, or of no use
	}
	return err
}
