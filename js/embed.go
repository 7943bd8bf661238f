// Package js is Fanfare's own client for browsers: one ES module without
// dependencies, and its types.
//
// It owns the client's side of the Centrifuge protocol in JSON, and of the plain
// protocol's polls. The Go in it only embeds the files, so that the server serves
// the ones that are tested here. It must not know the server's code. Start
// reading at class Client in client.js; client.d.ts says what its names promise.
package js

import _ "embed"

// Client is the module, as it is served.
//
//go:embed client.js
var Client []byte

// Types are its TypeScript declarations.
//
//go:embed client.d.ts
var Types []byte
