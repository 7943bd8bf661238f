// Package egress makes HTTP clients for calls to places that a setting names, and
// keeps them from reaching others: a name that resolves to an address inside the
// operator's network, a redirect, a proxy (server-side request forgery).
//
// It owns which addresses are public. It hides that a name is judged by what it
// resolves to at the moment of connecting, so that an answer that changes between
// check and use changes nothing. It must not know what the calls are for.
//
// Start reading at New.
package egress
