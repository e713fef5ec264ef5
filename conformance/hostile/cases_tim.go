package main

import (
	"fmt"
	"net/http"
	"time"
)

// tim1 registers TIM-001 to TIM-018.
func tim1(cs catalogue) {
	cs.regA("TIM-001", "IC", func(s *Std) []string {
		n := time.Now().Unix()
		return []string{s.with("exp", n-3600, "iat", n-7200, "nbf", n-7200), s.with("exp", 1)}
	})
	cs.regP("TIM-002", func(s *Std) []string {
		n := time.Now().Unix()
		return []string{s.with("exp", n-20, "iat", n-600, "nbf", n-600)}
	})
	cs.regA("TIM-003", "IC", func(s *Std) []string {
		n := time.Now().Unix()
		return []string{s.with("exp", n-331, "iat", n-900, "nbf", n-900)}
	})
	cs.regA("TIM-004", "IC", func(s *Std) []string { return []string{s.with("exp", nil)} })
	cs.regA("TIM-005", "IC", func(s *Std) []string {
		return []string{s.with("exp", 0), s.with("exp", -1), s.with("exp", int64(-9223372036854775808))}
	})
	cs.regP("TIM-007", func(s *Std) []string {
		return []string{s.dup(`"exp":9223372037`, "", "exp"), s.dup(`"exp":253402300800`, "", "exp")}
	})
	cs.regP("TIM-008", func(s *Std) []string { return []string{s.with("exp", time.Now().Unix()+100*365*86400)} })
	cs.regA("TIM-010", "IC", func(s *Std) []string {
		n := time.Now().Unix()
		return []string{s.with("nbf", n+3600, "exp", n+7200), s.with("nbf", n+86400*365, "exp", n+86400*366)}
	})
	cs.regP("TIM-011", func(s *Std) []string { return []string{s.with("nbf", time.Now().Unix()+20)} })
	cs.regA("TIM-013", "IC", func(s *Std) []string {
		n := time.Now().Unix()
		return []string{s.with("iat", n+3600, "exp", n+7200)}
	})
	cs.regO("TIM-017", func(s *Std) []string {
		return []string{s.dup(fmt.Sprintf(`"exp":%d.5`, time.Now().Unix()+600), "", "exp"), s.dup(fmt.Sprintf(`"iat":%d.25`, time.Now().Unix()-2), "", "iat")}
	})
	cs.regP("TIM-018", func(s *Std) []string {
		return []string{s.dup(`"exp":4.1e9`, "", "exp"), s.dup(`"exp":41E8`, "", "exp")}
	})
}

// tim2 registers TIM-019 to TIM-022.
func tim2(cs catalogue) {
	cs.regA("TIM-019", "IC", func(s *Std) []string {
		var o []string
		for _, v := range []string{"null", "true", "[]", "{}", "[4102444800]", `{"$date":4102444800}`} {
			o = append(o, s.dup(`"exp":`+v, "", "exp"))
		}
		return o
	})
	cs.reg("TIM-021", func(t *T) {
		s := t.std()
		c := s.control()
		r := t.assert(s.with("exp", time.Now().Unix()+10*365*86400))
		if r.Status != 200 {
			t.note("long assertion refused")
			t.reject("", r, "IC", t.e.o.MaxFast)
			return
		}
		a, b := lifetime(c.Token()), lifetime(r.Token())
		t.ok("lifetime", b <= a+5 && b > 0 && b <= 86400, "lifetime %d for a short, %d for a long assertion", a, b)
	})
	cs.reg("TIM-022", func(t *T) {
		is := t.iss()
		is.onJWKS(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(3 * time.Second)
			is.serveKeys(w)
		})
		s := t.on(is)
		n := time.Now().Unix()
		r := t.assert(s.with("exp", n-298, "iat", n-900, "nbf", n-900))
		t.ok("no late token", r.Status != 200 || r.Took < 2900*time.Millisecond, "token issued after the assertion had expired beyond any leeway")
		t.note("status %d", r.Status)
	})
}
