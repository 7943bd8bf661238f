package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// maxReply bounds a reply of the server API.
const maxReply = 64 << 20

// Reply is an answer of the server API: either a result or an error.
type Reply struct {
	Status int             `json:"-"` // of HTTP
	Result json.RawMessage `json:"result"`
	Error  *APIError       `json:"error"`
}

// APIError is the error object of a reply.
type APIError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *APIError) Error() string { return fmt.Sprintf("error %d: %s", e.Code, e.Message) }

// API calls the server API at one address.
type API struct {
	Client *http.Client
	Addr   string // host:port
	Key    string // X-API-Key
}

// API gives the calls of this server, over client.
func (s *Server) API(client *http.Client) *API {
	return &API{Client: client, Addr: s.addr, Key: s.opts.APIKey}
}

// Do posts a request, marshalled to JSON, to /api/method and decodes the result
// into result, which may be nil. An error reply becomes an *APIError.
func (a *API) Do(ctx context.Context, method string, request, result any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("%s request: %w", method, err)
	}
	reply, err := a.Post(ctx, method, body)
	if err != nil {
		return err
	}
	if reply.Error != nil {
		return fmt.Errorf("%s: %w", method, reply.Error)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(reply.Result, result); err != nil {
		return fmt.Errorf("%s result %.200s: %w", method, reply.Result, err)
	}
	return nil
}

// Post sends body as it is. An error says that there was no reply in the API's
// form.
func (a *API) Post(ctx context.Context, method string, body []byte) (*Reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+a.Addr+"/api/"+method, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-API-Key", a.Key)
	res, err := a.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxReply))
	if err != nil {
		return nil, fmt.Errorf("%s: read the reply: %w", method, err)
	}
	reply := &Reply{Status: res.StatusCode}
	if err := json.Unmarshal(raw, reply); err != nil {
		return nil, fmt.Errorf("%s: HTTP %d with %.200q: %w", method, res.StatusCode, raw, err)
	}
	return reply, nil
}
