package management

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cambio/conformance/devserver"
)

// admin speaks to one server as its administrator and as its workloads.
type admin struct {
	t      *testing.T
	server *devserver.Server
	client *http.Client
}

func start(t *testing.T) *admin {
	t.Helper()
	binary, err := devserver.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server, err := devserver.Start(t.Context(), devserver.Config{Binary: binary, StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	client, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	return &admin{t: t, server: server, client: client}
}

// do sends a management request, again when the caller's allowance is used up,
// and decodes the answer.
func (a *admin) do(method, path string, body, into any) (status int, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	for {
		req, err := http.NewRequest(method, a.server.BaseURL+path, bytes.NewReader(text))
		if err != nil {
			return 0, err
		}
		req.Header.Set("Authorization", "Bearer "+a.server.AdminToken)
		req.Header.Set("Content-Type", "application/json")
		resp, err := a.client.Do(req)
		if err != nil {
			return 0, err
		}
		answer, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return 0, err
		}
		switch {
		case resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") != "":
			time.Sleep(time.Second)
			continue
		case resp.StatusCode/100 != 2:
			return resp.StatusCode, fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, answer)
		case into != nil:
			err = json.Unmarshal(answer, into)
		}
		return resp.StatusCode, err
	}
}

func (a *admin) must(method, path string, body, into any) {
	a.t.Helper()
	if _, err := a.do(method, path, body, into); err != nil {
		a.t.Fatal(err)
	}
}

// parent is something that has credentials, behind one of the APIs.
type parent struct {
	clientID string
	create   func(name, subject string) (status int, err error)
	remove   func(name string) error
	count    func() int
}

// application is a parent behind the Graph-shaped API, under v1.0 or beta.
func (a *admin) application(version string) parent {
	var app struct{ ID, AppID string }
	a.must("POST", "/v1.0/applications", map[string]any{"displayName": "parent"}, &app)
	a.must("POST", "/v1.0/servicePrincipals", map[string]any{"appId": app.AppID}, nil)
	path := "/" + version + "/applications/" + app.ID + "/federatedIdentityCredentials"
	return parent{
		clientID: app.AppID,
		create: func(name, subject string) (int, error) {
			return a.do("POST", path, map[string]any{"name": name, "issuer": a.server.IDP.Issuer, "subject": subject, "audiences": []string{audience}}, nil)
		},
		remove: func(name string) error {
			_, err := a.do("DELETE", path+"/"+name, nil, nil)
			return err
		},
		count: func() int { return a.countPages(path + "?$top=999") },
	}
}

// managedIdentity is a parent behind the API that is shaped like Azure
// Resource Manager's.
func (a *admin) managedIdentity() parent {
	const version = "?api-version=2024-11-30"
	group := "/subscriptions/" + a.server.TenantID + "/resourceGroups/parents"
	a.must("PUT", group+version, map[string]any{"location": "local"}, nil)
	path := group + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/parent"
	var identity struct {
		Properties struct{ ClientID string }
	}
	a.must("PUT", path+version, map[string]any{"location": "local"}, &identity)
	path += "/federatedIdentityCredentials"
	return parent{
		clientID: identity.Properties.ClientID,
		create: func(name, subject string) (int, error) {
			return a.do("PUT", path+"/"+name+version, map[string]any{"properties": map[string]any{
				"issuer": a.server.IDP.Issuer, "subject": subject, "audiences": []string{audience}}}, nil)
		},
		remove: func(name string) error {
			_, err := a.do("DELETE", path+"/"+name+version, nil, nil)
			return err
		},
		count: func() int { return a.countPages(path + version) },
	}
}

const audience = "api://AzureADTokenExchange"

func (a *admin) countPages(path string) (n int) {
	for path != "" {
		var page struct {
			Value     []struct{}
			ODataNext string `json:"@odata.nextLink"`
			NextLink  string
		}
		a.must("GET", path, nil, &page)
		n += len(page.Value)
		path = strings.TrimPrefix(page.ODataNext+page.NextLink, a.server.BaseURL)
	}
	return n
}

// mint returns a token of the built-in provider for a subject.
func (a *admin) mint(subject string) (string, error) {
	body, err := json.Marshal(map[string]any{"claims": map[string]any{"sub": subject}})
	if err != nil {
		return "", err
	}
	resp, err := a.client.Post(a.server.IDP.MintURL, "application/json", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct{ Token string }
	return answer.Token, json.NewDecoder(resp.Body).Decode(&answer)
}

// exchange presents an assertion and returns the status of the answer.
func (a *admin) exchange(clientID, assertion string) (status int, err error) {
	return a.exchangeFor(clientID, assertion, a.server.Scope)
}

func (a *admin) exchangeFor(clientID, assertion, scope string) (status int, err error) {
	resp, err := a.client.PostForm(a.server.BaseURL+"/"+a.server.TenantID+"/oauth2/v2.0/token", url.Values{"grant_type": {"client_credentials"},
		"client_id": {clientID}, "scope": {scope}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}})
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// Parallel creations on one parent never conflict, through either API.
func TestParallelCreation(t *testing.T) {
	a := start(t)
	const parallel = 300
	for name, p := range map[string]parent{"graph v1.0": a.application("v1.0"), "graph beta": a.application("beta"), "arm": a.managedIdentity()} {
		t.Run(name, func(t *testing.T) {
			var all sync.WaitGroup
			begin := make(chan struct{})
			for i := range parallel {
				all.Go(func() {
					<-begin
					if status, err := p.create(fmt.Sprintf("c-%d", i), fmt.Sprintf("s-%d", i)); err != nil || status != http.StatusCreated {
						t.Errorf("creation %d: %d %v", i, status, err)
					}
				})
			}
			close(begin)
			all.Wait()
			if n := p.count(); n != parallel {
				t.Errorf("%d credentials are listed, want %d", n, parallel)
			}
		})
	}
}

// A credential works for the exchange that follows its creation, and no
// longer for the one that follows its deletion: ten thousand times, from
// sixteen callers at once, through both APIs.
func TestCreateThenExchange(t *testing.T) {
	a := start(t)
	trials := 10_000
	if text := os.Getenv("CAMBIO_TRIALS"); text != "" {
		var err error
		if trials, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	parents := []parent{a.application("v1.0"), a.managedIdentity(), a.application("beta")}
	var next, misses, late atomic.Int64
	var workers sync.WaitGroup
	begin := time.Now()
	for range 16 {
		workers.Go(func() {
			for t.Context().Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= trials {
					return
				}
				missed, stayed, err := a.trial(parents[i%len(parents)], fmt.Sprintf("trial-%d", i))
				if err != nil {
					t.Error(err)
					return
				}
				misses.Add(missed)
				late.Add(stayed)
			}
		})
	}
	workers.Wait()
	t.Logf("%d trials in %.0f s: %d credentials did not work at once, %d worked after their deletion", trials, time.Since(begin).Seconds(), misses.Load(), late.Load())
	if misses.Load() != 0 || late.Load() != 0 {
		t.Errorf("%d misses, %d late", misses.Load(), late.Load())
	}
}

func (a *admin) trial(p parent, name string) (missed, late int64, err error) {
	assertion, err := a.mint(name)
	if err != nil {
		return 0, 0, err
	}
	if _, err := p.create(name, name); err != nil {
		return 0, 0, err
	}
	status, err := a.exchange(p.clientID, assertion)
	if err != nil {
		return 0, 0, err
	}
	if status != http.StatusOK {
		missed = 1
	}
	if err := p.remove(name); err != nil {
		return missed, 0, err
	}
	status, err = a.exchange(p.clientID, assertion)
	if status == http.StatusOK {
		late = 1
	}
	return missed, late, err
}

// Ten thousand credentials on one application cost its exchanges, and the
// creation of one more, little more than ten do.
func TestManyCredentials(t *testing.T) {
	a := start(t)
	few, many := a.application("v1.0"), a.application("v1.0")
	a.fill(few, 10)
	begin := time.Now()
	a.fill(many, 10_000)
	t.Logf("10,000 credentials were created in %.0f s", time.Since(begin).Seconds())
	assertion, err := a.mint("s-7")
	if err != nil {
		t.Fatal(err)
	}
	exchange := func(p parent) func() error {
		return func() error {
			if status, err := a.exchange(p.clientID, assertion); err != nil || status != http.StatusOK {
				return fmt.Errorf("exchange: status %d, %v", status, err)
			}
			return nil
		}
	}
	serial := 0
	create := func(p parent) func() error {
		return func() error {
			serial++
			_, err := p.create(fmt.Sprintf("more-%d", serial), fmt.Sprintf("more-%d", serial))
			return err
		}
	}
	changed := func(p parent) func() error {
		return func() error { return errors.Join(create(p)(), exchange(p)()) }
	}
	for _, c := range []struct {
		what  string
		few   func() error
		many  func() error
		bound float64
	}{
		{"a warm exchange", exchange(few), exchange(many), 1.5},
		{"one more credential", create(few), create(many), 2},
		{"one more credential and the exchange after it", changed(few), changed(many), 3},
	} {
		ratio := compare(t, c.few, c.many)
		t.Logf("%s: with 10,000 credentials %.2f × the time with 10", c.what, ratio)
		if ratio > c.bound {
			t.Errorf("%s takes %.2f × as long with 10,000 credentials as with 10, want at most %.2f", c.what, ratio, c.bound)
		}
	}
}

func (a *admin) fill(p parent, n int) {
	a.t.Helper()
	var workers sync.WaitGroup
	var next atomic.Int64
	for range 16 {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if _, err := p.create(fmt.Sprintf("c-%d", i), fmt.Sprintf("s-%d", i)); err != nil {
					a.t.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
}

// compare takes turns between two operations and returns the ratio of their
// median times.
func compare(t *testing.T, few, many func() error) float64 {
	t.Helper()
	const rounds = 200
	var times [2][]time.Duration
	for range rounds {
		for i, operation := range []func() error{few, many} {
			begin := time.Now()
			if err := operation(); err != nil {
				t.Fatal(err)
			}
			times[i] = append(times[i], time.Since(begin))
		}
	}
	for i := range times {
		slices.Sort(times[i])
	}
	return float64(times[1][rounds/2]) / float64(times[0][rounds/2])
}
