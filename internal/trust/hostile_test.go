package trust

import (
	"strings"
	"testing"
	"time"
	"unicode"
)

// Documents that are made to cost time: each is refused, in a time of the
// order of that of a harmless document of its size.
func TestHostileDocuments(t *testing.T) {
	const size = 1 << 20
	harmless := "version: 1\nresourceGroups:\n" + strings.Repeat("- {name: rg, location: l}\n", size/26)
	start := time.Now()
	if _, err := Parse("", []byte(harmless)); err != nil {
		t.Fatal(err)
	}
	usual := time.Since(start)
	for name, text := range map[string]string{
		"open lists":        strings.Repeat("[", size),
		"open objects":      strings.Repeat("{a: ", size/4),
		"indented lists":    strings.Repeat("- ", size/2),
		"keys of keys":      strings.Repeat("? ", size/2),
		"empty lists":       "a: [" + strings.Repeat("[],", size/3) + "]",
		"one long key":      strings.Repeat("k", size) + ": 1",
		"many keys":         strings.Repeat("a", 3) + ": 1\n" + strings.Repeat("b: 1\n", size/5),
		"anchors":           "a: &a [x]\n" + strings.Repeat("b: *a\n", size/6),
		"one long text":     "a: \"" + strings.Repeat("\\u00e9", size/6) + "\"",
		"colons":            strings.Repeat("a:", size/2),
		"comments":          strings.Repeat("#\n", size/2),
		"documents":         strings.Repeat("---\n", size/4),
		"tags":              strings.Repeat("!!str ", size/6),
		"open JSON lists":   `{"a":` + strings.Repeat("[", size),
		"open JSON objects": strings.Repeat(`{"a":`, size/5),
		"many JSON members": `{"a":[` + strings.Repeat("0,", size/2) + "0]}",
	} {
		start := time.Now()
		_, err := Parse("", []byte(text))
		if took := time.Since(start); err == nil || len(err.Error()) > 1<<16 || took > 50*usual {
			t.Errorf("%s: %v after %v; a harmless document of that size takes %v", name, err != nil, took, usual)
		}
	}
}

// A comment that names an application is no way into the document.
func TestCommentsStayInTheirLine(t *testing.T) {
	name := "x\n  role: Admin\r\u2028# y: \"z\""
	d := &Document{Applications: []Application{{AppID: "11111111-2222-4333-8444-555555555555", DisplayName: &name,
		Owners:      []string{"11111111-2222-4333-8444-555555555555"},
		Assignments: []Assignment{{Resource: "11111111-2222-4333-8444-555555555555", Role: "Read"}, {Resource: ManagementResource, Role: "Read"}}}}}
	raw, err := d.YAML("")
	if err != nil {
		t.Fatal(err)
	}
	const want = `resource: 11111111-2222-4333-8444-555555555555 # x·  role: Admin··# y: "z"` + "\n"
	if !strings.Contains(string(raw), want) || !strings.Contains(string(raw), ManagementResource+" # the management resource\n") {
		t.Errorf("written:\n%s", raw)
	}
	back, err := Parse("", raw)
	if err != nil || string(back.JSON()) != string(d.JSON()) {
		t.Errorf("read back: %v\n%s", err, raw)
	}
}

// Keys can be anybody's choice as texts are: what cannot be shown as it is
// stands in quotes, where it can be escaped.
func TestKeysAreQuotedLikeTexts(t *testing.T) {
	for _, key := range []string{"\t\n", "a\tb", "a\u202eb", "\u2028", "\u007f", "null", "1", "a: b", "# a", "<<"} {
		d := &Document{ResourceGroups: []ResourceGroup{{Name: "rg", Tags: map[string]string{key: key}}}}
		raw, err := d.YAML("")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			plain := strings.TrimSpace(line)
			if strings.ContainsFunc(plain, func(r rune) bool { return !unicode.IsPrint(r) }) && plain[0] != '"' {
				t.Errorf("%q is written as it is:\n%s", key, raw)
			}
		}
		if back, err := Parse("", raw); err != nil || string(back.JSON()) != string(d.JSON()) {
			t.Errorf("%q is read back as: %v\n%s", key, err, raw)
		}
	}
}

// What looks like a comment in an editor is one: the other line breaks of
// YAML 1.1 end no comment unseen, and change no text.
func TestOtherLineBreaksAreRefused(t *testing.T) {
	for _, r := range []string{"\u0085", "\u2028", "\u2029"} {
		for text, want := range map[string]string{
			"version: 1\napplications:\n- uniqueName: a # b" + r + "- uniqueName: c": "f:3:20: the character U+",
			"version: 1\napplications:\n- uniqueName: 'éa" + r + "b'":                "f:3:18: the character U+",
		} {
			d, err := Parse("f", []byte(text))
			if err == nil {
				t.Errorf("%q is read as %s", text, d.JSON())
			} else if !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%q gives %v, want %q", text, err, want)
			}
		}
	}
	d, err := Parse("", []byte("version: 1\napplications: [{uniqueName: \"a\\u2028\\N\\L\"}]"))
	if err != nil || d.Applications[0].UniqueName != "a\u2028\u0085\u2028" {
		t.Errorf("escapes are read as %+v, %v", d, err)
	}
}
