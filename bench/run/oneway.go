package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/coder/websocket"
)

func uniConnect(channel string) string { return fmt.Sprintf(`{"subs":{%q:{}}}`, channel) }

func uniSocket(ctx context.Context, w *wireTap, channel string) (io.ReadCloser, error) {
	s, err := w.socket(ctx, "/connection/uni_websocket", &websocket.DialOptions{})
	if err != nil {
		return nil, err
	}
	return s.write(websocket.MessageText, []byte(uniConnect(channel)))
}

func uniResponse(method, path string) func(context.Context, *wireTap, string) (io.ReadCloser, error) {
	return func(ctx context.Context, w *wireTap, channel string) (io.ReadCloser, error) {
		if method == http.MethodGet {
			return w.response(ctx, method, path+"?"+url.Values{"cf_uni_connect": {uniConnect(channel)}}.Encode(), "")
		}
		return w.response(ctx, method, path, uniConnect(channel))
	}
}
