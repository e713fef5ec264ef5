package limit

import (
	"fmt"
	"testing"
	"time"
)

func TestLimiters(t *testing.T) {
	now := time.Unix(1000, 0)
	l := New(1, 2, func() time.Time { return now })
	for i, want := range []bool{true, true, false} {
		if l.Available("t", "c") != want || l.Allow("t", "c") != want {
			t.Errorf("%d: want %v", i, want)
		}
	}
	for i := range 2*generation - 2 { // a flood under other names
		l.Allow("t", fmt.Sprint(i))
		if i%1000 == 0 && l.Allow("t", "c") {
			t.Fatal("a flood under other names renewed the allowance")
		}
	}
	if n := len(l.newer) + len(l.older); n > 2*generation {
		t.Errorf("%d limiters", n)
	}
	if !l.Allow("t2", "c") {
		t.Error("two tenants' parties of one name share an allowance")
	}
	now = now.Add(time.Second)
	if !l.Allow("t", "c") || l.Allow("t", "c") {
		t.Error("a second does not renew one")
	}
}
