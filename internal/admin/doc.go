// Package admin is the web page at / and what it reads: live numbers and the
// list of channels.
//
// It owns the embedded files of the page (page/, no build step), the headers
// that fence them in, and the rule of who may read numbers. It hides how the
// page is fed. It publishes and subscribes nothing: the page's console is a
// client like any other, over the WebSocket. It must not know protocols,
// transports or engines.
//
// Start reading at Handler.ServeHTTP, then access.go, then live.go. page/app.js
// is one ES module whose Client speaks the Centrifuge protocol in JSON.
package admin
