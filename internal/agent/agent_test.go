package agent

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"cambio/workload"
)

// jwt is a token that ends in that time, with no signature that counts.
func jwt(life time.Duration) string {
	claims := fmt.Sprintf(`{"exp":%d,"iat":%d}`, time.Now().Add(life).Unix(), time.Now().Unix())
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"RS256"}`)) + "." + part([]byte(claims)) + "." + part([]byte("signature"))
}

// left is how long a token of jwt lives on.
func left(t *testing.T, token string) time.Duration {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no token: %q", token)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Exp int64 }
	if err := json.Unmarshal(raw, &claims, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	return time.Until(time.Unix(claims.Exp, 0))
}

// authority exchanges assertions that are still good for access tokens of an
// hour, without a network, so that time can be compressed.
type authority struct {
	t         *testing.T
	exchanges int
	down      func() bool
}

func (a *authority) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	if a.down != nil && a.down() {
		return nil, errors.New("connection refused")
	}
	w := httptest.NewRecorder()
	if left(a.t, form.Get("client_assertion")) <= 0 {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"AADSTS700024: expired"}`)
	} else {
		a.exchanges++
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, jwt(time.Hour))
	}
	return w.Result(), nil
}

// job is a workload whose platform gives it tokens of five minutes, and the
// agent beside it.
func job(t *testing.T, a *authority) (agent *Agent, token, assertion string) {
	t.Helper()
	dir := t.TempDir()
	token, assertion = filepath.Join(dir, "token"), filepath.Join(dir, "assertion")
	client, err := workload.New(workload.Config{Authority: "https://sts.example.net", ClientID: "c", Scope: "api://orders/.default", HTTPClient: &http.Client{Transport: a},
		Source: func(context.Context, string) (string, error) { return jwt(5 * time.Minute), nil }})
	if err != nil {
		t.Fatal(err)
	}
	agent = New(Config{Client: client, TokenFile: token, AssertionFile: assertion, Log: slog.New(slog.DiscardHandler)})
	if err := agent.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return agent, token, assertion
}

func read(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// A job of 90 minutes whose platform gives it tokens of five: whenever it
// looks, the assertion is good for two minutes more, and the access token for
// five, which is what SDKs want to replace one in time.
func TestNinetyMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &authority{t: t}
		agent, token, assertion := job(t, a)
		ctx, stop := context.WithCancel(t.Context())
		go agent.Run(ctx)
		different := map[string]bool{}
		for began := time.Now(); time.Since(began) < 90*time.Minute; time.Sleep(10 * time.Second) {
			synctest.Wait()
			if l := left(t, read(t, token)); l < 5*time.Minute-time.Second {
				t.Errorf("after %s the access token lives for %s", time.Since(began), l)
			}
			if l := left(t, read(t, assertion)); l < 149*time.Second {
				t.Errorf("after %s the assertion lives for %s", time.Since(began), l)
			}
			different[read(t, assertion)] = true
		}
		if a.exchanges != 2 || len(different) < 35 {
			t.Errorf("%d exchanges, %d assertions", a.exchanges, len(different))
		}
		for _, file := range []string{token, assertion} {
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", file, info.Mode(), err)
			}
		}
		stop()
		synctest.Wait()
		if left, err := os.ReadDir(filepath.Dir(token)); err != nil || len(left) != 2 {
			t.Errorf("files left behind: %v (%v)", left, err)
		}
	})
}

// An authority that is down for four minutes when a token is renewed costs
// nobody anything.
func TestAuthorityIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		a := &authority{t: t, down: func() bool {
			since := time.Since(began)
			return since > 54*time.Minute && since < 58*time.Minute+30*time.Second
		}}
		agent, token, _ := job(t, a)
		ctx, stop := context.WithCancel(t.Context())
		go agent.Run(ctx)
		for ; time.Since(began) < 90*time.Minute; time.Sleep(10 * time.Second) {
			synctest.Wait()
			if l := left(t, read(t, token)); l < time.Second {
				t.Errorf("after %s the access token lives for %s", time.Since(began), l)
			}
		}
		stop()
		synctest.Wait()
	})
}

func TestStartFails(t *testing.T) {
	client, err := workload.New(workload.Config{Authority: "https://sts.example.net", ClientID: "c", Scope: "s", HTTPClient: &http.Client{Transport: &authority{t: t}},
		Source: func(context.Context, string) (string, error) { return jwt(-time.Minute), nil }})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := New(Config{Client: client, TokenFile: file, Log: slog.New(slog.DiscardHandler)}).Start(t.Context()); err == nil || !strings.Contains(err.Error(), "AADSTS700024") {
		t.Error(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a file without a token")
	}
	if err := New(Config{Client: client, AssertionFile: filepath.Join(file, "x"), Log: slog.New(slog.DiscardHandler)}).Start(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be written") {
		t.Error(err)
	}
}

func TestHalfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for token, want := range map[string]time.Duration{
			jwt(10 * time.Minute): 5 * time.Minute, jwt(-time.Minute): time.Second, "opaque": time.Minute, "e30.e30.e30": time.Minute, "e30.W10.e30": time.Minute,
		} {
			if got := halfLife(token, now).Sub(now); got != want {
				t.Errorf("%s: %s, want %s", token, got, want)
			}
		}
	})
}
