#!/bin/sh
# Gets what the tests need besides Go, Node and npm: a C compiler for the race
# detector, the npm packages of the suites, a Chrome or Chromium for the page.
# Does nothing where everything is there.
set -eu
cd "$(dirname "$0")"

fail() {
	echo "setup: $*" >&2
	exit 1
}

# debian installs packages with apt-get, as root or with sudo without a password.
debian() {
	what=$1
	shift
	command -v apt-get >/dev/null || fail "$what is missing; install it (no apt-get here to do it with)"
	if [ "$(id -u)" = 0 ]; then
		sudo=
	elif sudo -n true 2>/dev/null; then
		sudo=sudo
	else
		fail "$what is missing; run as root: apt-get install $*"
	fi
	echo "setup: installing $* ($what is missing)"
	log=$(mktemp)
	if ! { $sudo env DEBIAN_FRONTEND=noninteractive apt-get update &&
		$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1; then
		cat "$log" >&2
		fail "apt-get could not install $*"
	fi
	rm -f "$log"
}

browser() {
	[ -n "${CHROME_PATH:-}${CHROME_BIN:-}" ] && return
	for name in google-chrome google-chrome-stable chromium chromium-browser chrome; do
		command -v "$name" >/dev/null && return
	done
	[ -x "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" ] && return
	return 1
}

command -v node >/dev/null || fail "node is missing; install Node 20 or later"
command -v npm >/dev/null || fail "npm is missing; install it beside Node"
node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' ||
	fail "Node $(node -v) is too old; 20 or later is needed"

command -v "$(go env CC | cut -d' ' -f1)" >/dev/null || debian "a C compiler (for the race detector)" gcc libc6-dev
browser || debian "a Chrome or Chromium (to test the page)" chromium

for suite in npm browser; do
	[ -f "$suite/package-lock.json" ] || continue
	# npm writes node_modules/.package-lock.json last.
	if [ "$suite/node_modules/.package-lock.json" -nt "$suite/package-lock.json" ]; then
		continue
	fi
	echo "setup: npm packages of test/$suite"
	(cd "$suite" && npm ci --no-audit --no-fund --loglevel=error </dev/null)
done
