package main

import (
	"context"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// xch1 registers XCH-010 to XCH-018.
func xch1(cs catalogue) {
	cs.reg("XCH-010", func(t *T) {
		s := t.std()
		s.control()
		v := t.form(s.good())
		v.Set("scope", "api://nope-"+nonce()+"/.default")
		t.reject("", t.post(v), "IS", t.e.o.MaxFast)
	})
	cs.reg("XCH-012", func(t *T) {
		s := t.std()
		s.control()
		none := tokSig(`{"alg":"none"}`, js(s.claims()), nil)
		v := t.form(s.good())
		v.Set("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
		v.Set("subject_token", none)
		v.Set("subject_token_type", "urn:ietf:params:oauth:token-type:jwt")
		v.Set("actor_token", none)
		v.Set("actor_token_type", "urn:ietf:params:oauth:token-type:jwt")
		r := t.post(v)
		t.ok("refused", r.Err == nil && r.Token() == "" && r.Status >= 400 && r.Status < 500, "status %d", r.Status)
		t.clean("", r)
	})
	cs.reg("XCH-014", func(t *T) {
		s := t.std()
		s.control()
		v := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "client_id": {t.app.ClientID}, "scope": {t.e.o.Scope}, "subject_token": {s.with("exp", time.Now().Unix()-3600)}, "subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}}
		r := t.post(v)
		t.ok("refused", r.Err == nil && r.Token() == "" && r.Status >= 400 && r.Status < 500, "status %d", r.Status)
		t.clean("", r)
	})
	cs.reg("XCH-018", func(t *T) {
		t.std().control()
		now := time.Now().Unix()
		for _, aud := range []any{t.tokenURL(), t.e.o.Base + "/" + t.e.o.Tenant + "/v2.0", []string{t.tokenURL(), t.e.o.Audience}} {
			t.reject("", t.assert(tok(`{"alg":"RS256","typ":"JWT","x5t":"`+b64(make([]byte, 20))+`"}`, js(map[string]any{"iss": t.app.ClientID, "sub": t.app.ClientID, "aud": aud, "exp": now + 600, "iat": now, "nbf": now, "jti": nonce()}), "RS256", t.e.keys.B)), "IC", t.e.o.MaxFast)
		}
	})
}

// xch2 registers XCH-025.
func xch2(cs catalogue) {
	cs.reg("XCH-025", func(t *T) {
		s := t.std()
		s.control()
		var late atomic.Int64
		var gone atomic.Bool
		var wg sync.WaitGroup
		for w := 0; w < 8; w++ {
			wg.Add(1)
			go func() {
				defer wg.Done()
				q := &T{e: t.e, id: t.id, app: t.app}
				for i := 0; i < 25; i++ {
					started := gone.Load()
					r := q.assert((&Std{t: q, is: s.is, sub: s.sub, aud: s.aud}).good())
					if started && r.Status == 200 {
						late.Add(1)
					}
				}
			}()
		}
		time.Sleep(30 * time.Millisecond)
		err := t.e.reg.DeleteFIC(context.Background(), t.app, s.fic)
		gone.Store(true)
		wg.Wait()
		t.ok("delete", err == nil, "%v", err)
		t.ok("late", late.Load() == 0, "%d exchanges that started after the acknowledged delete succeeded", late.Load())
	})
}
