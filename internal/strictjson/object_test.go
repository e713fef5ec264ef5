package strictjson_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"cambio/internal/strictjson"
)

// kindOf returns the kind of err, 0 for none, -1 for an error of another type.
func kindOf(err error) strictjson.ErrorKind {
	if err == nil {
		return 0
	}
	var refused *strictjson.Error
	if !errors.As(err, &refused) {
		return -1
	}
	return refused.Kind
}

func TestParseObjectRefuses(t *testing.T) {
	const syntax, duplicate, limit, wrongType = strictjson.Syntax, strictjson.Duplicate, strictjson.Limit, strictjson.Type
	cases := map[string]struct {
		doc  string
		want strictjson.ErrorKind
	}{
		"empty":                      {"", syntax},
		"white space only":           {" \n", syntax},
		"array":                      {`["a"]`, wrongType},
		"string":                     {`"a"`, wrongType},
		"number":                     {`1`, wrongType},
		"null":                       {`null`, wrongType},
		"true":                       {`true`, wrongType},
		"broken array":               {`["a"`, syntax},
		"byte order mark":            {"\ufeff{}", syntax},
		"UTF-16":                     {"{\x00}\x00", syntax},
		"open object":                {`{"a":1`, syntax},
		"open name":                  {`{"a`, syntax},
		"trailing comma":             {`{"a":1,}`, syntax},
		"leading comma":              {`{,"a":1}`, syntax},
		"no colon":                   {`{"a" 1}`, syntax},
		"no value":                   {`{"a":}`, syntax},
		"second value":               {`{"a":1}{"b":2}`, syntax},
		"letter after the value":     {`{"a":1}x`, syntax},
		"NUL after the value":        {"{}\x00", syntax},
		"comment":                    {`{/*x*/"a":1}`, syntax},
		"comment at the end":         {`{}//x`, syntax},
		"single quotes":              {`{'a':1}`, syntax},
		"bare name":                  {`{a:1}`, syntax},
		"number as name":             {`{1:1}`, syntax},
		"NaN":                        {`{"a":NaN}`, syntax},
		"Infinity":                   {`{"a":Infinity}`, syntax},
		"True":                       {`{"a":True}`, syntax},
		"leading zero":               {`{"a":01}`, syntax},
		"hexadecimal escape":         {`{"a":"\x41"}`, syntax},
		"control character":          {"{\"a\":\"\x01\"}", syntax},
		"line feed in a string":      {"{\"a\":\"\n\"}", syntax},
		"NUL in a string":            {"{\"a\":\"\x00\"}", syntax},
		"invalid UTF-8 in a value":   {"{\"a\":\"\xff\"}", syntax},
		"invalid UTF-8 in a name":    {"{\"\xff\":1}", syntax},
		"overlong UTF-8":             {"{\"a\":\"\xc0\xaf\"}", syntax},
		"surrogate in UTF-8":         {"{\"a\":\"\xed\xa0\x80\"}", syntax},
		"lone high surrogate":        {`{"a":"\ud800"}`, syntax},
		"lone low surrogate":         {`{"a":"\udc00"}`, syntax},
		"surrogates in wrong order":  {`{"a":"\udc00\ud800"}`, syntax},
		"lone surrogate in a name":   {`{"\ud800":1}`, syntax},
		"duplicate":                  {`{"sub":1,"sub":1}`, duplicate},
		"duplicate by escape":        {`{"sub":1,"\u0073ub":1}`, duplicate},
		"duplicate inside":           {`{"a":[{"b":{"c":1,"c":2}}]}`, duplicate},
		"duplicate of the last":      {`{"a":1,"b":2,"c":3,"b":4}`, duplicate},
		"nested 65 deep":             {`{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + "}", limit},
		"objects 1500 deep":          {strings.Repeat(`{"a":`, 1500) + "1" + strings.Repeat("}", 1500), limit},
		"open brackets":              {strings.Repeat("[", 10000), limit},
		"1001 members":               {"{" + manyMembers(1001) + "}", limit},
		"1001 elements":              {`{"a":[` + strings.TrimSuffix(strings.Repeat("1,", 1000), ",") + "]}", limit},
		"longer than 16 KiB":         {`{"a":"` + strings.Repeat("x", 16<<10) + `"}`, limit},
		"quote hidden by backslash":  {`{"a":"\\"x"}`, syntax},
		"string that never ends":     {`{"a":"` + strings.Repeat(`\"`, 1000), syntax},
		"thousand closing brackets":  {strings.Repeat("]", 1000), syntax},
		"brackets of the wrong kind": {`{"a":[1}}`, syntax},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			object, err := strictjson.ParseObject([]byte(c.doc), strictjson.Claims)
			if kindOf(err) != c.want {
				t.Errorf("error %v of kind %d, want kind %d", err, kindOf(err), c.want)
			}
			if object.Len() != 0 {
				t.Errorf("a refused document gave %d members", object.Len())
			}
		})
	}
}

func manyMembers(n int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf(`"c%d":%d`, i, i)
	}
	return strings.Join(members, ",")
}

func TestParseObjectKeepsOrderAndBytes(t *testing.T) {
	doc := []byte(" \n\t{ \"b\" : [1, 2] ,\"a\":\"x\\n\\ud83d\\ude00\",\"\\u0073ub\":\"s\",\"e\":{ },\"n\":null}\r\n ")
	object, err := strictjson.ParseObject(doc, strictjson.Claims)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for name, value := range object.All() {
		got = append(got, name+"="+string(value))
	}
	want := []string{`b=[1, 2]`, `a="x\n\ud83d\ude00"`, `sub="s"`, `e={ }`, `n=null`}
	if !slices.Equal(got, want) || object.Len() != len(want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for range object.All() {
		break
	}
	if s, present, err := object.String("a"); s != "x\n\U0001F600" || !present || err != nil {
		t.Errorf("a = %q, %v, %v", s, present, err)
	}
	if s, present, err := object.String("sub"); s != "s" || !present || err != nil {
		t.Errorf("sub = %q, %v, %v", s, present, err)
	}
}

// Names are compared byte by byte: neither letter case nor Unicode folding
// makes two names equal.
func TestNamesAreExact(t *testing.T) {
	object, err := strictjson.ParseObject([]byte("{\"Sub\":\"a\",\"SUB\":\"b\",\"\u017fub\":\"c\",\"__proto__\":{\"sub\":\"d\"}}"), strictjson.Claims)
	if err != nil {
		t.Fatal(err)
	}
	if value, present := object.Raw("sub"); present {
		t.Errorf("sub found with value %s", value)
	}
	var target struct {
		Sub string `json:"sub"`
	}
	if err := strictjson.Unmarshal([]byte(`{"Sub":"a","SUB":"b","ſub":"c"}`), &target, strictjson.Claims); err != nil || target.Sub != "" {
		t.Errorf("Unmarshal gave %q, %v", target.Sub, err)
	}
}

func TestMembersAreNotConverted(t *testing.T) {
	object, err := strictjson.ParseObject([]byte(`{"s":"x","n":1,"z":null,"t":true,"a":["x","y"],"e":[],"m":["x",1],"nn":[null],"d":[["x"]],"o":{"0":"x"}}`), strictjson.Claims)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"n", "z", "t", "a", "o"} {
		if s, present, err := object.String(name); kindOf(err) != strictjson.Type || !present || s != "" {
			t.Errorf("String(%s) = %q, %v, %v", name, s, present, err)
		}
	}
	for _, name := range []string{"n", "z", "t", "m", "nn", "d", "o"} {
		if s, present, err := object.Strings(name); kindOf(err) != strictjson.Type || !present || s != nil {
			t.Errorf("Strings(%s) = %q, %v, %v", name, s, present, err)
		}
	}
	for _, name := range []string{"s", "z", "t", "a", "o"} {
		if n, present, err := object.Number(name); kindOf(err) != strictjson.Type || !present || n != 0 {
			t.Errorf("Number(%s) = %v, %v, %v", name, n, present, err)
		}
	}
	for name, want := range map[string][]string{"s": {"x"}, "a": {"x", "y"}, "e": {}} {
		if got, present, err := object.Strings(name); err != nil || !present || !slices.Equal(got, want) {
			t.Errorf("Strings(%s) = %q, %v, %v", name, got, present, err)
		}
	}
	for _, name := range []string{"s", "n", "z", "t", "o"} {
		if list, present, err := object.Array(name); kindOf(err) != strictjson.Type || !present || list != nil {
			t.Errorf("Array(%s) = %q, %v, %v", name, list, present, err)
		}
	}
	if list, _, err := object.Array("m"); err != nil || fmt.Sprintf("%s", list) != `["x" 1]` {
		t.Errorf("Array(m) = %s, %v", list, err)
	}
	_, p0, err0 := object.Array("absent")
	_, p1, err1 := object.String("absent")
	_, p2, err2 := object.Strings("absent")
	_, p3, err3 := object.Number("absent")
	if p0 || p1 || p2 || p3 || err0 != nil || err1 != nil || err2 != nil || err3 != nil {
		t.Error("an absent member is reported as present or as an error")
	}
}

func TestNumbers(t *testing.T) {
	digits := strings.Repeat("1", 8000)
	cases := map[string]struct {
		value float64
		kind  strictjson.ErrorKind
	}{
		"1793614227":               {1793614227, 0},
		"1793614227.5":             {1793614227.5, 0},
		"4.1e9":                    {4.1e9, 0},
		"41E8":                     {41e8, 0},
		"0":                        {0, 0},
		"-1":                       {-1, 0},
		"-9223372036854775808":     {-9223372036854775808, 0},
		"-99999999999999999999":    {-99999999999999999999, 0},
		"1e-400":                   {0, 0},
		"1e400":                    {0, strictjson.Limit},
		"-1e400":                   {0, strictjson.Limit},
		"1E+999999":                {0, strictjson.Limit},
		"1e111111111111":           {0, strictjson.Limit},
		digits:                     {0, strictjson.Limit},
		"-" + digits:               {0, strictjson.Limit},
		digits + "e" + digits[:20]: {0, strictjson.Limit},
		`"1793614227"`:             {0, strictjson.Type},
		"null":                     {0, strictjson.Type},
		"true":                     {0, strictjson.Type},
		"[4102444800]":             {0, strictjson.Type},
		`{"$date":4102444800}`:     {0, strictjson.Type},
	}
	for text, c := range cases {
		object, err := strictjson.ParseObject([]byte(`{"exp":`+text+`}`), strictjson.Document)
		if err != nil {
			t.Errorf("%.30s: %v", text, err)
			continue
		}
		value, _, err := object.Number("exp")
		if value != c.value || kindOf(err) != c.kind {
			t.Errorf("%.30s: %v, %v; want %v, kind %d", text, value, err, c.value, c.kind)
		}
	}
}

func TestLimitsAreInclusive(t *testing.T) {
	lim := strictjson.Limits{Bytes: 40, Depth: 3, Members: 4}
	for doc, want := range map[string]strictjson.ErrorKind{
		`{"a":[[1]]}`:                             0,
		`{"a":[[[]]]}`:                            strictjson.Limit,
		`{"a":1,"b":2,"c":3,"d":4}`:               0,
		`{"a":1,"b":2,"c":3,"d":4,"":}`:           strictjson.Limit,
		`{"a":[1,2,3]}`:                           0,
		`{"a":[1,2,3,4]}`:                         strictjson.Limit,
		`{"a":",,,,[[[[{{{{:::::"}`:               0,
		`{"a":"` + strings.Repeat("x", 32) + `"}`: 0,
		`{"a":"` + strings.Repeat("x", 33) + `"}`: strictjson.Limit,
	} {
		if err := strictjson.Check([]byte(doc), lim); kindOf(err) != want {
			t.Errorf("%s: %v, want kind %d", doc, err, want)
		}
	}
	if err := strictjson.Check([]byte("1"), strictjson.Limits{}); kindOf(err) != strictjson.Limit {
		t.Errorf("the zero limits allow a document: %v", err)
	}
}

func TestUnmarshal(t *testing.T) {
	type discovery struct {
		Issuer  string   `json:"issuer"`
		JWKSURI string   `json:"jwks_uri"`
		Algs    []string `json:"algs"`
	}
	for doc, want := range map[string]strictjson.ErrorKind{
		`{"issuer":"i","jwks_uri":"j","algs":["RS256"],"other":{"x":1}}`: 0,
		`{"issuer":1}`:                strictjson.Type,
		`{"algs":"RS256"}`:            strictjson.Type,
		`[]`:                          strictjson.Type,
		`{"issuer":"i","issuer":"j"}`: strictjson.Duplicate,
		`{"x":{"y":1,"y":2}}`:         strictjson.Duplicate,
		`{"issuer":"i"}x`:             strictjson.Syntax,
		`{"issuer":"\ud800"}`:         strictjson.Syntax,
		"{\"issuer\":\"\xff\"}":       strictjson.Syntax,
		``:                            strictjson.Syntax,
		strings.Repeat("[", 65):       strictjson.Limit,
	} {
		var got discovery
		if err := strictjson.Unmarshal([]byte(doc), &got, strictjson.Document); kindOf(err) != want {
			t.Errorf("%s: %v, want kind %d", doc, err, want)
		}
	}
}

// An error may be shown to the sender of the document: it is short, ASCII and
// repeats no values.
func TestErrorText(t *testing.T) {
	name := strings.Repeat("é\u202e", 100)
	cases := map[string]string{
		`{"sub":1,"sub":2}`:                `duplicate JSON member name "sub" at byte 9`,
		`{"a":tru}`:                        `invalid JSON at byte 8`,
		`"secret"`:                         `JSON value is not an object`,
		`{"` + name + `":1,"` + name + `"`: `duplicate JSON member name "`,
	}
	for doc, want := range cases {
		_, err := strictjson.ParseObject([]byte(doc), strictjson.Claims)
		if err == nil || !strings.HasPrefix(err.Error(), want) || len(err.Error()) > 400 {
			t.Errorf("%s: %v, want %s", doc, err, want)
		}
		for _, r := range err.Error() {
			if r < 0x20 || r > 0x7e {
				t.Errorf("%q in %q", r, err)
			}
		}
	}
}
