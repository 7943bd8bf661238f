package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

const jsonType = "application/json"

// load reads the document as it is served.
func load(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := served()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") {
		t.Errorf("OpenAPI %s", doc.OpenAPI)
	}
	return doc
}

// served is the document, read and checked once for all tests: that takes long.
var served = sync.OnceValues(func() (*openapi3.T, error) {
	w := httptest.NewRecorder()
	newFixture(Limits{}).handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, Prefix+documentName, http.NoBody))
	doc, err := openapi3.NewLoader().LoadFromData(w.Body.Bytes())
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(context.Background())
})

// operations are those of the methods, by name.
func operations(t *testing.T, doc *openapi3.T) map[string]*openapi3.Operation {
	t.Helper()
	found := map[string]*openapi3.Operation{}
	for path, item := range doc.Paths.Map() {
		if path == "/"+documentName {
			continue
		}
		if item.Post == nil || len(item.Operations()) != 1 {
			t.Fatalf("%s: want POST alone", path)
		}
		found[strings.TrimPrefix(path, "/")] = item.Post
	}
	return found
}

func requestSchema(op *openapi3.Operation) *openapi3.Schema {
	return op.RequestBody.Value.Content.Get(jsonType).Schema.Value
}

// TestDocumentKnowsTheMethods: the same methods in the table, in the document, in
// a batch, and in the metrics; the same fields in each.
func TestDocumentKnowsTheMethods(t *testing.T) {
	doc := load(t)
	ops := operations(t, doc)
	h := newFixture(Limits{}).handler
	names := methodNames(h)
	if got := slices.Sorted(maps.Keys(ops)); !slices.Equal(got, names) {
		t.Fatalf("the document has %v\nthe handler  %v", got, names)
	}
	if got := slices.Sorted(slices.Values(metrics.APIMethods())); !slices.Equal(got, names) {
		t.Errorf("metrics count %v", got)
	}
	inBatch := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == "batch" })
	if got := slices.Sorted(maps.Keys(doc.Components.Schemas["Command"].Value.Properties)); !slices.Equal(got, inBatch) {
		t.Errorf("a command is one of %v", got)
	}
	if got := slices.Sorted(maps.Keys(doc.Components.Schemas["CommandReply"].Value.Properties)); !slices.Equal(got, slices.Sorted(slices.Values(append(inBatch, "error")))) {
		t.Errorf("a command's reply is one of %v", got)
	}
	for name, op := range ops {
		got := slices.Sorted(maps.Keys(requestSchema(op).Properties))
		if want := slices.Sorted(slices.Values(h.methods[name].names)); !slices.Equal(got, want) {
			t.Errorf("%s: the document has the fields %v\nthe decoder %v", name, got, want)
		}
		if op.OperationID != name || op.Summary == "" || op.Description == "" || op.RequestBody.Value.Required == h.methods[name].optional {
			t.Errorf("%s: id, summary, description or required", name)
		}
	}
	sameFields(t, doc.Components.Schemas["Position"].Value, positionFields())
	sameFields(t, doc.Components.Schemas["DisconnectRequest"].Value.Properties["disconnect"].Value, goodbyeFields())
}

func sameFields[T any](t *testing.T, schema *openapi3.Schema, fields []field[T]) {
	t.Helper()
	if got, want := slices.Sorted(maps.Keys(schema.Properties)), fieldNames(fields); !slices.Equal(got, want) {
		t.Errorf("the document has the fields %v, the decoder %v", got, want)
	}
}

func fieldNames[T any](fields []field[T]) (names []string) {
	for _, f := range fields {
		names = append(names, f.name)
	}
	slices.Sort(names)
	return names
}

// TestDocumentSaysWhatFieldsAre: type and description of each are the decoder's.
func TestDocumentSaysWhatFieldsAre(t *testing.T) {
	wrong := map[string]string{"string": "1", "boolean": "1", "integer": `"1"`, "array": "1", "object": "1"}
	f := newFixture(Limits{})
	for name, op := range operations(t, load(t)) {
		for field, ref := range requestSchema(op).Properties {
			schema := ref.Value
			if schema.Description == "" {
				t.Errorf("%s: %s has no description", name, field)
			}
			for len(schema.AllOf) > 0 {
				schema = schema.AllOf[0].Value
			}
			status, e := 200, wireError{}
			if value := wrong[typeOf(schema)]; value != "" {
				status, e = f.refused(t, post(name, fmt.Sprintf(`{%q:%s}`, field, value)))
			}
			if refused := status == 400 && strings.HasPrefix(e.Message, field+": must be"); refused != (typeOf(schema) != "") {
				t.Errorf("%s: %s is %q in the document, the decoder says %q", name, field, typeOf(schema), e.Message)
			}
		}
	}
}

func typeOf(schema *openapi3.Schema) string {
	if schema.Type == nil || len(schema.Type.Slice()) != 1 {
		return ""
	}
	return schema.Type.Slice()[0]
}

// TestDocumentKnowsTheCodes: every code of the error table, and no other.
func TestDocumentKnowsTheCodes(t *testing.T) {
	doc := load(t)
	want := map[string]bool{}
	for _, code := range []int{codeInternal, codeUnauthorized, codeUnknownChannel, codePermissionDenied, codeNotFound, codeLimitExceeded, codeBadRequest, codeNotAvailable, codeTooManyRequests, codeUnrecoverable} {
		want[fmt.Sprint(code)] = true
	}
	for _, row := range table {
		if !want[fmt.Sprint(row.fault.code)] {
			t.Errorf("code %d of %v", row.fault.code, row.err)
		}
	}
	enum := doc.Components.Schemas["Error"].Value.Properties["code"].Value.Enum
	if len(enum) != len(want) {
		t.Errorf("%d codes in the document, %d in the code", len(enum), len(want))
	}
	for _, code := range enum {
		if !want[fmt.Sprint(code)] {
			t.Errorf("code %v is in the document alone", code)
		}
		if !strings.Contains(doc.Info.Description, fmt.Sprintf("\n| %v | ", code)) {
			t.Errorf("code %v is not in the table of errors", code)
		}
	}
}

// TestDocumentKnowsTheLimits: the numbers are those of the code.
func TestDocumentKnowsTheLimits(t *testing.T) {
	doc := load(t)
	property := func(schema, name string) *openapi3.Schema {
		return doc.Components.Schemas[schema].Value.Properties[name].Value
	}
	upTo := func(v *uint64) string {
		if v == nil {
			return "none"
		}
		return fmt.Sprint(*v)
	}
	for name, got := range map[string][2]string{
		"idempotency_key": {upTo(property("PublishRequest", "idempotency_key").MaxLength), fmt.Sprint(MaxIdempotency)},
		"event":           {upTo(property("PublishRequest", "event").MaxLength), fmt.Sprint(MaxEvent)},
		"tags":            {upTo(property("BroadcastRequest", "tags").MaxProps), fmt.Sprint(DefaultMaxTags)},
		"channels":        {upTo(property("BroadcastRequest", "channels").MaxItems), fmt.Sprint(DefaultMaxChannels)},
		"commands":        {upTo(property("BatchRequest", "commands").MaxItems), fmt.Sprint(DefaultMaxCommands)},
		"pattern":         {upTo(property("ChannelsRequest", "pattern").MaxLength), fmt.Sprint(MaxPattern)},
		"user":            {upTo(property("SubscribeRequest", "user").MaxLength), fmt.Sprint(MaxUser)},
		"whitelist":       {upTo(property("DisconnectRequest", "whitelist").MaxItems), fmt.Sprint(MaxExcept)},
		"reason":          {upTo(property("DisconnectRequest", "disconnect").Properties["reason"].Value.MaxLength), fmt.Sprint(MaxReason)},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %s in the document, %s in the code", name, got[0], got[1])
		}
	}
	code := property("DisconnectRequest", "disconnect").Properties["code"].Value
	if *code.Min != minDisconnectCode || *code.Max != maxDisconnectCode {
		t.Errorf("codes are %v to %v in the document", *code.Min, *code.Max)
	}
	for name, ref := range doc.Components.Schemas["PublishRequest"].Value.Properties {
		other := doc.Components.Schemas["BroadcastRequest"].Value.Properties[name]
		if name != "channel" && (other == nil || described(t, ref) != described(t, other)) {
			t.Errorf("%s is not the same in publish and broadcast", name)
		}
	}
	for _, row := range []string{
		fmt.Sprintf("| body | %d MiB, %d objects and arrays", DefaultMaxBody>>20, DefaultMaxDepth),
		fmt.Sprintf("| data of a publication | %d KiB |", DefaultMaxData>>10),
		fmt.Sprintf("| tags | %d, together %d KiB |", DefaultMaxTags, DefaultMaxTagBytes>>10),
		fmt.Sprintf("| idempotency key | %d bytes", MaxIdempotency),
		fmt.Sprintf("| a page of history | %s publications, %d MiB |", thousands(DefaultMaxPage), hub.MaxAPIHistoryBytes>>20),
		fmt.Sprintf("| a page of presence or channels | %s rows |", thousands(DefaultMaxPage)),
	} {
		if !strings.Contains(doc.Info.Description, row) {
			t.Errorf("the table of limits does not say %q", row)
		}
	}
}

func described(t *testing.T, ref *openapi3.SchemaRef) string {
	t.Helper()
	text, err := json.Marshal(ref)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func thousands(n int) string { return fmt.Sprintf("%d,%03d", n/1000, n%1000) }

// TestDocumentExamples: each is what its schema says and what the handler takes;
// what the handler answers is what the document says.
func TestDocumentExamples(t *testing.T) {
	for name, op := range operations(t, load(t)) {
		body := op.RequestBody.Value.Content.Get(jsonType)
		if len(body.Examples) == 0 {
			t.Errorf("%s has no example", name)
		}
		for title, example := range body.Examples {
			t.Run(name+" "+title, func(t *testing.T) {
				text, err := json.Marshal(example.Value.Value)
				if err != nil {
					t.Fatal(err)
				}
				obeys(t, body.Schema.Value, string(text))
				f := newFixture(Limits{})
				fill(f.hub)
				status, reply := f.call(t, post(name, string(text)))
				if name != "rpc" && !strings.HasPrefix(reply, `{"result":`) { // no procedure exists
					t.Errorf("HTTP %d: %s", status, reply)
				}
				obeys(t, op.Responses.Value("200").Value.Content.Get(jsonType).Schema.Value, reply)
			})
		}
	}
}

// TestDocumentedReplies: every reply of the other tests' kinds has the document's
// shape, with no field that it does not know.
func TestDocumentedReplies(t *testing.T) {
	ops := operations(t, load(t))
	for _, r := range []struct{ method, body string }{
		{"publish", `{"channel":"a","data":1}`},
		{"broadcast", `{"channels":["a",""],"data":1}`},
		{"history", `{"channel":"a","limit":2}`},
		{"presence", `{"channel":"a","limit":1}`},
		{"channels", `{"limit":1}`},
		{"dead_letters", `{"limit":1}`},
		{"history_import", `{"pieces":["YQ==","Yg==","Yw==","ZnVsbA=="]}`},
		{"info", ``},
		{"presence_stats", `{"channel":"a"}`},
		{"batch", `{"commands":[{"info":{}},{"launch":{}},{"history":{"channel":"a","limit":1}},{"rpc":{"method":"m"}}]}`},
		{"publish", `{}`},
		{"publish", `{`},
		{"disconnect", `{}`},
	} {
		for _, mode := range []string{"", "transport"} {
			for _, err := range []error{nil, hub.ErrBusy, hub.ErrUnrecoverable, http.ErrBodyNotAllowed} {
				f := newFixture(Limits{})
				fill(f.hub)
				f.hub.more, f.hub.err = true, err
				status, reply := f.call(t, post(r.method, r.body, header("X-Centrifugo-Error-Mode", mode)))
				key := "200"
				if status != http.StatusOK {
					key = fmt.Sprintf("%dXX", status/100)
				}
				response := ops[r.method].Responses.Value(key)
				if response == nil {
					t.Fatalf("%s: HTTP %d is not documented", r.method, status)
				}
				obeys(t, response.Value.Content.Get(jsonType).Schema.Value, reply)
			}
		}
	}
}

// obeys checks JSON against a schema, and that every field is one of it.
func obeys(t *testing.T, schema *openapi3.Schema, text string) {
	t.Helper()
	var value any
	unmarshal(t, text, &value)
	if err := schema.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
		t.Errorf("%s\n%v", text, err)
	}
	for _, path := range undocumented(schema, value, "") {
		t.Errorf("%s: %s is not documented", text, path)
	}
}

// undocumented lists the fields of value that schema does not name.
func undocumented(schema *openapi3.Schema, value any, path string) (unknown []string) {
	if len(schema.AllOf) > 0 {
		schema = schema.AllOf[0].Value
	}
	for _, one := range schema.OneOf {
		if one.Value.VisitJSON(value, openapi3.EnableJSONSchema2020()) == nil {
			return undocumented(one.Value, value, path)
		}
	}
	switch value := value.(type) {
	case []any:
		for i, v := range value {
			if schema.Items != nil {
				unknown = append(unknown, undocumented(schema.Items.Value, v, fmt.Sprintf("%s/%d", path, i))...)
			}
		}
	case map[string]any:
		more := schema.AdditionalProperties.Schema
		for k, v := range value {
			switch p := schema.Properties[k]; {
			case p != nil:
				unknown = append(unknown, undocumented(p.Value, v, path+"/"+k)...)
			case more != nil:
				unknown = append(unknown, undocumented(more.Value, v, path+"/"+k)...)
			case typeOf(schema) == "object" && k != "":
				unknown = append(unknown, path+"/"+k)
			}
		}
	}
	return unknown
}
