package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Limits of the HTTP API's client.
const (
	maxReply       = 64 << 20 // bytes of one reply
	maxConnections = 64       // kept open to the server while idle
)

// API calls the server's HTTP API. It is safe for use by any goroutine, and
// reuses connections. Errors of its methods are an *Error when the server
// answered, and otherwise those of the network or of ctx: whether the request was
// carried out is then unknown.
type API struct {
	base string // ends with "/api/"
	key  string
	http *http.Client
}

// NewAPI makes the client of a server at addr, "host:port" or a URL with http or
// https; a path in it is where the server's own paths begin. key is the API key.
func NewAPI(addr, key string) (*API, error) {
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		transport = &http.Transport{}
	}
	transport = transport.Clone()
	transport.MaxIdleConnsPerHost = maxConnections
	return NewAPIWith(&http.Client{Transport: transport}, addr, key)
}

// NewAPIWith is NewAPI with an HTTP client of the caller's, for timeouts, proxies
// and certificates.
func NewAPIWith(c *http.Client, addr, key string) (*API, error) {
	u, err := parseAddress(addr, "http", "https")
	if err != nil {
		return nil, err
	}
	return &API{base: u.JoinPath("api").String() + "/", key: key, http: c}, nil
}

// Close gives up idle connections. Calls may still be made.
func (a *API) Close() { a.http.CloseIdleConnections() }

// parseAddress reads "host:port" as the first of the schemes.
func parseAddress(addr string, schemes ...string) (*url.URL, error) {
	full := addr
	if !strings.Contains(addr, "://") {
		full = schemes[0] + "://" + addr
	}
	u, err := url.Parse(full)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	for _, s := range schemes {
		if u.Scheme == s && u.Host != "" {
			return u, nil
		}
	}
	return nil, fmt.Errorf("address %q: must be host:port, or a URL with %s", addr, strings.Join(schemes, " or "))
}

// encode is json.Marshal that leaves characters of HTML as they are, so that data
// reaches subscribers as it was given.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// call is one request of a method; result nil: only success matters.
func (a *API) call(ctx context.Context, method string, request, result any) error {
	body, err := encode(request)
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	if err := a.post(ctx, method, body, result); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	return nil
}

func (a *API) post(ctx context.Context, method string, body []byte, result any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base+method, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-API-Key", a.key)
	res, err := a.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	reply, err := io.ReadAll(io.LimitReader(res.Body, maxReply+1))
	if err != nil {
		return fmt.Errorf("read reply: %w", err)
	}
	if len(reply) > maxReply {
		return fmt.Errorf("the reply has more than %d bytes", maxReply)
	}
	return parseReply(res, reply, result)
}

// answer is the envelope of every reply.
type answer struct {
	Error  *apiError       `json:"error"`
	Result json.RawMessage `json:"result"`
}

type apiError struct {
	Code      int    `json:"code"`
	Message   string `json:"message"`
	Temporary bool   `json:"temporary"`
	RequestID string `json:"request_id"`
}

func (e *apiError) error(status int) *Error {
	return &Error{Code: e.Code, Message: e.Message, Temporary: e.Temporary, Status: status, RequestID: e.RequestID}
}

func parseReply(res *http.Response, reply []byte, result any) error {
	var a answer
	err := json.Unmarshal(reply, &a)
	switch {
	case err == nil && a.Error != nil:
		return a.Error.error(res.StatusCode)
	case res.StatusCode != http.StatusOK:
		return &Error{
			Message: http.StatusText(res.StatusCode), Status: res.StatusCode, Temporary: temporaryStatus(res.StatusCode),
		}
	case err != nil:
		return fmt.Errorf("the reply is not the server API's: %w", err)
	case a.Result == nil:
		return errors.New("the reply is not the server API's: it has no result")
	case result == nil:
		return nil
	}
	if err := json.Unmarshal(a.Result, result); err != nil {
		return fmt.Errorf("the reply is not the server API's: %w", err)
	}
	return nil
}
