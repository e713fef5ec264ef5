package management

import (
	"strings"
	"testing"
)

func TestPageTokens(t *testing.T) {
	pages := NewPageTokens([]byte("key"))
	token := pages.Seal("position", "scope")
	if after, ok := pages.Open(token, "scope"); !ok || after != "position" {
		t.Errorf("got %q, %v", after, ok)
	}
	for name, open := range map[string]func() (string, bool){
		"another scope":    func() (string, bool) { return pages.Open(token, "scope2") },
		"shifted border":   func() (string, bool) { return pages.Open(pages.Seal("positions", "cope"), "scope") },
		"another key":      func() (string, bool) { return NewPageTokens([]byte("key2")).Open(token, "scope") },
		"a random key":     func() (string, bool) { return NewPageTokens(nil).Open(token, "scope") },
		"empty":            func() (string, bool) { return pages.Open("", "scope") },
		"cut":              func() (string, bool) { return pages.Open(token[:len(token)-2], "scope") },
		"padded":           func() (string, bool) { return pages.Open(token+"=", "scope") },
		"line break":       func() (string, bool) { return pages.Open(token[:1]+"\r\n"+token[1:], "scope") },
		"no position":      func() (string, bool) { return pages.Open(pages.Seal("", "scope"), "scope") },
		"other characters": func() (string, bool) { return pages.Open(strings.Repeat("+", 40), "scope") },
	} {
		if _, ok := open(); ok {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzPageToken(f *testing.F) {
	pages := NewPageTokens([]byte("key"))
	f.Add(pages.Seal("position", "scope"), "scope")
	f.Add("AAAA", "")
	f.Fuzz(func(t *testing.T, token, scope string) {
		after, ok := pages.Open(token, scope)
		if ok && pages.Seal(after, scope) != token {
			t.Fatalf("%q was accepted but is not what Seal makes", token)
		}
	})
}
