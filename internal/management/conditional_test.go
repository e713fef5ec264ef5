package management

import (
	"net/http"
	"testing"

	"cambio/internal/directory"
)

func TestETag(t *testing.T) {
	one := directory.Application{ID: "a", DisplayName: "x", Tags: []string{"t"}}
	same := directory.Application{ID: "a", DisplayName: "x", Tags: []string{"t"}}
	if ETag(one) != ETag(same) || ETag(&one) != ETag(same) {
		t.Error("equal objects have different tags")
	}
	same.Tags = []string{"u"}
	if ETag(one) == ETag(same) {
		t.Error("different objects have equal tags")
	}
}

func TestPreconditions(t *testing.T) {
	const tag, other = `"abc"`, `"xyz"`
	for _, c := range []struct {
		ifMatch, ifNoneMatch []string
		tag                  string
		holds, notModified   bool
	}{
		{nil, nil, tag, true, false},
		{nil, nil, "", true, false},
		{[]string{tag}, nil, tag, true, false},
		{[]string{other}, nil, tag, false, false},
		{[]string{other + ", " + tag}, nil, tag, true, false},
		{[]string{other, tag}, nil, tag, true, false},
		{[]string{"W/" + tag}, nil, tag, false, false}, // If-Match compares strongly
		{[]string{"*"}, nil, tag, true, false},
		{[]string{"*"}, nil, "", false, false},
		{[]string{tag}, nil, "", false, false},
		{nil, []string{"*"}, tag, false, true},
		{nil, []string{"*"}, "", true, false},
		{nil, []string{tag}, tag, false, true},
		{nil, []string{"W/" + tag}, tag, false, true},
		{nil, []string{other}, tag, true, false},
		{[]string{tag}, []string{other}, tag, true, false},
		{[]string{tag}, []string{tag}, tag, false, true},
	} {
		p, err := ReadPreconditions(http.Header{"If-Match": c.ifMatch, "If-None-Match": c.ifNoneMatch})
		if err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		if p.Hold(c.tag) != c.holds || p.NotModified(c.tag) != c.notModified || p.Any() != (c.ifMatch != nil || c.ifNoneMatch != nil) {
			t.Errorf("If-Match %q, If-None-Match %q, tag %q: holds %v, not modified %v", c.ifMatch, c.ifNoneMatch, c.tag, p.Hold(c.tag), p.NotModified(c.tag))
		}
	}
	for _, bad := range []string{"", "abc", `"abc`, `"a"b"`, `"a",`, "W/abc", `"`} {
		if _, err := ReadPreconditions(http.Header{"If-Match": {bad}}); err == nil {
			t.Errorf("If-Match: %s was accepted", bad)
		}
	}
}
