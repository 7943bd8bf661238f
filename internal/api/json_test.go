package api

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// documents are what the JSON readers are tested and fuzzed with.
var documents = []string{
	`{}`, `[]`, `null`, `true`, `1`, `"a"`, ` { "a" : [ 1 , { "b" : null } , "\"\\" ] , "c" : -1.5e+7 } `,
	`{"a":"}","b":"]","c\"":"[{"}`, `[[],[[]],{"":{}}]`, `"é\u00e9\ud83d\ude00"`, `[1,2`, `{"a":}`, `{"a" 1}`, `[1 2]`,
	`"\x"`, `"` + "\x00" + `"`, `"\ud800"`, "\xff", strings.Repeat("[", 300), strings.Repeat(`{"a":`, 200), `{"a":1}}`, "", " ", `"abc`, `"abc\`,
}

// rebuild cuts a value up and puts it together again without the white space.
func rebuild(dst, v []byte) []byte {
	switch v[0] {
	case '{':
		dst = append(dst, '{')
		for c := cursorOf(v); c.member(); {
			if dst[len(dst)-1] != '{' {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, string(c.key)), ':')
			dst = rebuild(dst, c.value)
		}
		return append(dst, '}')
	case '[':
		dst = append(dst, '[')
		for c := cursorOf(v); c.element(); {
			if dst[len(dst)-1] != '[' {
				dst = append(dst, ',')
			}
			dst = rebuild(dst, c.value)
		}
		return append(dst, ']')
	case '"':
		return appendString(dst, unquote(v))
	}
	return append(dst, v...)
}

// FuzzJSON: what is accepted is JSON and is cut up as encoding/json would.
func FuzzJSON(f *testing.F) {
	for _, d := range documents {
		f.Add([]byte(d))
	}
	const maxDepth = 100
	f.Fuzz(func(t *testing.T, body []byte) {
		err := checkJSON(body, maxDepth)
		if err == nil != (utf8.Valid(body) && json.Valid(body) && depthOf(bytes.TrimSpace(body)) <= maxDepth) {
			t.Fatalf("%q: %v", body, err)
		}
		if err != nil {
			if e := faultOf(err); e == nil || e.code != codeBadRequest {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		v := trimLeft(body)
		v = v[:lastOf(v)+1]
		var want, got any
		decode := func(text []byte, into any) {
			d := json.NewDecoder(bytes.NewReader(text))
			d.UseNumber()
			if err := d.Decode(into); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
		}
		decode(v, &want)
		decode(rebuild(nil, v), &got)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q became %q", v, rebuild(nil, v))
		}
		line := oneLine(v)
		decode(line, &got)
		if bytes.ContainsAny(line, "\r\n") || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q on one line is %q", v, line)
		}
	})
}

// FuzzMethods: no request brings a method down, and every reply is a line of JSON.
func FuzzMethods(f *testing.F) {
	names := methodNames(newFixture(Limits{}).handler)
	for i := range names {
		for _, d := range documents {
			f.Add(byte(i), []byte(d))
		}
	}
	seeds := map[string]string{
		"publish":    `{"channel":"a","data":{"x":1},"tags":{"a":"b"},"idempotency_key":"k","event":"e","skip_history":true,"version":0}`,
		"broadcast":  `{"channels":["a","b"],"b64data":"AAH/"}`,
		"batch":      `{"commands":[{"publish":{"channel":"a","data":1}},{"info":{}},{"history":{"channel":"a","since":{"offset":1,"epoch":"x"}}}],"parallel":true}`,
		"subscribe":  `{"channel":"a","user":"u","info":1,"b64data":"MQ==","recover_since":{"offset":1},"expire_at":1,"override":{"presence":{"value":true},"join_leave":false}}`,
		"disconnect": `{"user":"u","whitelist":["c"],"disconnect":{"code":4000,"reason":"r"}}`,
		"history":    `{"channel":"a","limit":-1,"reverse":true}`,
		"channels":   `{"pattern":"*","limit":1,"cursor":"a"}`,
	}
	for name, body := range seeds {
		f.Add(byte(slices.Index(names, name)), []byte(body))
	}
	f.Fuzz(func(t *testing.T, method byte, body []byte) {
		fx := newFixture(Limits{MaxBody: 1 << 16, MaxDepth: 50})
		fill(fx.hub)
		name := names[int(method)%len(names)]
		status, reply := fx.call(t, post(name, string(body)))
		if status != 200 && status != 400 && status != 413 {
			t.Errorf("%s %q: HTTP %d: %s", name, body, status, reply)
		}
		if fx.log.Len() > 0 {
			t.Errorf("%s %q: logged %s", name, body, fx.log.String())
		}
	})
}

// depthOf is how deep objects and arrays nest in JSON.
func depthOf(v []byte) int {
	deepest := 0
	if v[0] == '{' || v[0] == '[' {
		for c, object := cursorOf(v), v[0] == '{'; object && c.member() || !object && c.element(); {
			deepest = max(deepest, depthOf(c.value))
		}
		deepest++
	}
	return deepest
}

func TestExamine(t *testing.T) {
	for text, want := range map[string]verdict{
		`1`: wellFormed, `[]`: wellFormed, `[[],[],{"a":[]}]`: wellFormed, `"[[[["`: wellFormed, `["\"[[[["]`: wellFormed,
		`[[[[1]]]]`: tooDeep, `[[[[`: tooDeep, `{"a":{"a":{"a":{`: tooDeep, `x[[[[`: malformed, `[1,[[1]],[[`: malformed, `]]`: malformed,
		`01`: malformed, `1.`: malformed, `.1`: malformed, `-`: malformed, `+1`: malformed, `1e`: malformed, `-0.0e-0`: wellFormed, `10E+5`: wellFormed,
		`truee`: malformed, `nul`: malformed, `[1,]`: malformed, `{"a":1,}`: malformed, `{a:1}`: malformed, `"\u12g4"`: malformed, `"\u12"`: malformed, `"\`: malformed,
	} {
		if got := examine([]byte(text), 3); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}

func TestAppendString(t *testing.T) {
	for _, s := range []string{"", "a", `"\`, "\x00\n\u2028", "é😀", "<>&", strings.Repeat("x", 1000)} {
		got := appendString([]byte("x"), s)
		var back string
		unmarshal(t, string(got[1:]), &back)
		if back != s {
			t.Errorf("%q became %s", s, got)
		}
	}
	if got := string(appendString(nil, "<>&")); got != `"<>&"` {
		t.Errorf("%s: escapes are for HTML", got)
	}
}
