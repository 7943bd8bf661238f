#!/bin/sh
# Looks for known vulnerabilities that the code can reach, its own or those of
# what it depends on, with govulncheck. The standard library is judged by the
# toolchain that tools/vuln/toolchain names, which is what a release is built with:
# go.mod does not ask for it, so that any Go of the language's version builds.
#
# The Go vulnerability database is asked; where it cannot be reached, the copy that
# tools/vuln/go.mod pins, which knows nothing newer than its version. Where that
# cannot be had either, nothing is looked for: this is said, and is no failure
# unless VULN_REQUIRED is set.
set -eu
cd "$(dirname "$0")/.."
mod=tools/vuln/go.mod
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# loud says what must not be overlooked.
loud() {
	printf 'vuln: ######## %s\n' "$@" >&2
}

unable() {
	loud "NOT LOOKED FOR: $1" "known vulnerabilities may be there; run make vuln where the network is"
	[ -z "${VULN_REQUIRED:-}" ] || exit 1
	exit 0
}

# scan exits with 0: none found, 3: some found, other: it could not be done.
scan() {
	GOVERSION=$toolchain go tool -modfile=$mod govulncheck "$@" ./... >"$tmp/found" 2>&1
}

toolchain=$(cat tools/vuln/toolchain)
here=$(go env GOVERSION)
[ "$here" = "$toolchain" ] || echo "vuln: the toolchain here is $here, judged is $toolchain: build releases with that"

go mod download -modfile=$mod golang.org/x/vuln 2>"$tmp/why" || unable "govulncheck cannot be had: $(cat "$tmp/why")"
code=0
scan || code=$?
if [ $code != 0 ] && grep -q 'fetching vulnerabilities' "$tmp/found"; then
	copy=$(go mod download -modfile=$mod -json golang.org/x/vulndb 2>"$tmp/why" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
	[ -n "$copy" ] || unable "neither the vulnerability database nor its copy can be had: $(cat "$tmp/found" "$tmp/why")"
	loud "the vulnerability database cannot be reached; its copy is ${copy##*@}"
	go tool -modfile=$mod indexdb -vulns "$copy/data/osv" -out "$tmp/db" 2>"$tmp/why" || unable "the copy cannot be read: $(cat "$tmp/why")"
	code=0
	scan -db "file://$tmp/db" || code=$?
fi
cat "$tmp/found"
exit $code
