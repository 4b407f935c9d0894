#!/usr/bin/env bash
# Checks everything, and installs what that needs: C compiler, PostgreSQL,
# PgBouncer, Chromium, PyJWT and npm by apt, npm packages below integration_test/js.
#
#   ./test.sh         everything
#   ./test.sh quick   the pure-Go part: needs Go only, installs nothing
#
# FUZZTIME=1m fuzzes for longer than 5,000 inputs for each target. CHROMIUM names
# another browser than the one on PATH.
set -euo pipefail
cd "$(dirname "$0")"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

step() {
	printf '\n== %s (%s)\n' "$*" "$(date +%T)"
	"$@"
}

fail() {
	printf '%s\n' "$*" >&2
	exit 1
}

# need COMMAND PACKAGE...: the command exists, or apt installs the packages.
need() {
	command -v "$1" >/dev/null && return
	shift
	command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || fail "Please install: $*"
	[ -e "$work/updated" ] || apt-get -qq update
	touch "$work/updated"
	DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}

formatted() {
	local wrong
	wrong=$(git ls-files -co --exclude-standard -- '*.go' | xargs gofmt -l)
	[ -z "$wrong" ] || fail "gofmt would change: $wrong"
}

# As programs are built for a release, and by xcaddy, whose packages serve again.
as_released() {
	CGO_ENABLED=0 GOFLAGS=-trimpath "$@"
}

vet() {
	go vet ./... ./bench/...
	go vet -tags postgres ./...
	go vet -tags integration ./integration_test/... ./bench/...
	GOWORK=off go vet -C integration_test/zitadel .
	GOWORK=off go vet -C integration_test/promql .
}

# Prometheus reads the dashboard and the alerts; in a module of its own.
monitoring() {
	GOWORK=off go test -C integration_test/promql -count=1 .
}

# The tools have a module of their own, so that users of this one never see it.
tool() {
	GOWORK=off go build -C tools -o "$work/bin/" "$1"
}

# With the rules of .golangci.yml.
lint() {
	tool github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	"$work/bin/golangci-lint" run --build-tags integration,postgres ./... ./bench/...
}

platforms() {
	local os arch
	for os in linux darwin windows; do
		for arch in amd64 arm64; do
			printf '%s/%s\n' "$os" "$arch"
			GOOS=$os GOARCH=$arch as_released go build -o "$work/caddy-$os-$arch" ./cmd/caddy
			rm -f "$work/caddy-$os-$arch"
		done
	done
}

# The verifier of docs/verify in Python runs on whichever Python has what it needs.
python_packages() {
	local python
	for python in python3 /usr/bin/python3; do
		"$python" -c 'import jwt, cryptography' 2>/dev/null && return
	done
	need "no python" python3-jwt python3-cryptography
}

# What xcaddy.md tells people to do in a checkout.
xcaddy_build() {
	tool github.com/caddyserver/xcaddy/cmd/xcaddy
	local build
	build=$(grep -m1 -E '^xcaddy build .*=\.( |$)' xcaddy.md) || fail "xcaddy.md has no xcaddy build of a checkout"
	printf '%s\n' "$build"
	PATH="$work/bin:$PATH" bash -euc "$build --output '$work/xcaddy-caddy'" 2>"$work/xcaddy.log" ||
		fail "$(cat "$work/xcaddy.log")"
	"$work/xcaddy-caddy" list-modules >"$work/modules"
	grep -x mcp_oauth "$work/modules"
	grep -x http.handlers.mcp_oauth "$work/modules"
}

# Two at a time: one is built while another runs. A number of inputs, not a time: Go 1.26
# may fail at the end of a time (go.dev/issue/75804).
fuzz() {
	git grep -oE '^func Fuzz[A-Za-z0-9_]+' -- '*_test.go' | sed -E 's,[^/]*:func , ,; s,^, ./,' |
		xargs -P 2 -L 1 sh -c 'exec go test -run "^\$" -fuzz "^$1\$" -fuzztime "${FUZZTIME:-5000x}" -parallel 1 "$0"'
}

npm_packages() {
	(
		cd integration_test/js
		cmp -s package-lock.json node_modules/.installed-lock && return
		npm ci --no-audit --no-fund --loglevel=error
		cp package-lock.json node_modules/.installed-lock
	)
}

# The packages that are not about the whole system. Those that take longest begin first:
# none is alone in the end.
units() {
	go list ./caddymodule ./storage/pgstore ./storage/move ./storage/boltstore ./... ./bench/... | grep -v /integration_test
}

# What clients, reloads, streams and stops see where a server has a proxy block.
over_reverse_proxy() {
	MCP_OAUTH_TEST_FORWARDER=reverse_proxy go test -count=1 -timeout 30m -tags integration ./integration_test \
		-run 'TestConformance|TestGoSDK|TestTypeScript|TestInspector|TestMCPGo|TestMCPRemote|TestReload|TestStop|TestConnectAtRunTime'
}

quick() {
	step formatted
	step go vet ./... ./bench/...
	step go test -timeout 15m ./... ./bench/...
}

all() {
	step need gcc gcc libc6-dev
	step need npm nodejs npm
	PATH=$PATH:$(printf '%s:' /usr/lib/postgresql/*/bin) step need postgres postgresql
	PATH=$PATH:/usr/sbin:/sbin step need ip iproute2
	PATH=$PATH:/usr/sbin:/sbin step need nft nftables
	step need pgbouncer pgbouncer
	[ -n "${CHROMIUM:-}" ] || step need chromium chromium fonts-liberation
	step python_packages
	step npm_packages

	step formatted
	step vet
	step lint
	# shellcheck disable=SC2046
	step go test -race -timeout 60m -tags postgres $(units)
	step go test -timeout 30m -tags postgres -run 'TestSchedules|TestMutants|TestCrashes$|TestMaintenanceCrashes|TestAnyDamage|TestValuesOf' ./storage/simulation ./storage/pgstore ./storage/boltstore ./caddymodule # what takes too long with it
	step monitoring
	step fuzz
	step xcaddy_build
	step platforms
	step go test -race -count=1 -timeout 60m -tags integration ./integration_test/... ./bench/...
	step over_reverse_proxy
	printf '\nEverything passed; nothing was skipped.\n'
}

case ${1:-all} in
all | quick) "${1:-all}" ;;
*) fail "usage: ./test.sh [quick]" ;;
esac
