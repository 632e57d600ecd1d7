#!/bin/sh
# Install the Debian packages that one step of the Makefile needs, if they are missing.
#   system-packages.sh venv PYTHON   the venv module of that Python
#   system-packages.sh run           libopus (the service works without it, at a higher cost)
#   system-packages.sh test          what the tests use: the browser, the speaking program, the telephones and their servers,
#                                    and Prometheus's tool, which goes to .venv/bin
# Each package is installed by itself, so that one that a release does not have keeps none of the others away.
set -eu

if [ "$(id -u)" = 0 ]; then sudo=""; else sudo="sudo -n"; fi

update() { # once, before the first package
    command -v apt-get >/dev/null || { echo "no apt-get here: install it yourself" >&2; return 1; }
    [ -n "${updated:-}" ] || $sudo apt-get -qq update >/dev/null || return 1
    updated=yes
}

install() { # install PACKAGE: says what it does, fails if it cannot
    echo "setting up: Debian package $1"
    update && $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends "$1" >/dev/null
}

optional() { # optional PACKAGE CONSEQUENCE: installs it, or says what follows without it
    install "$1" || echo "setting up: going on without $1: $2" >&2
}

unpack() { # unpack PACKAGE PROGRAM FOLDER CONSEQUENCE: takes one program out of a package, without installing its service
    echo "setting up: $2 of the Debian package $1"
    folder=$(mktemp -d)
    if update && (cd "$folder" && apt-get -qq download "$1" >/dev/null 2>&1 && dpkg -x "$1"_*.deb .); then
        cp "$folder/usr/bin/$2" "$3/"
    else
        echo "setting up: going on without $2: $4" >&2
    fi
    rm -rf "$folder"
}

has() { command -v "$1" >/dev/null; }
has_library() { ldconfig -p 2>/dev/null | grep -q "$1"; }

case "$1" in
venv)
    "$2" -c 'import ensurepip' 2>/dev/null || install python3-venv
    ;;
run)
    has_library libopus.so.0 || optional libopus0 "PyAV decodes and encodes instead, at a higher cost"
    ;;
test)
    has_library libopus.so.0 || optional libopus0 "the tests of concealment and FEC are skipped"
    has_library libatomic.so.1 || optional libatomic1 "the tests in a browser are skipped" # Playwright's driver needs it
    has chromium || optional chromium "the tests in a browser are skipped"
    has firefox-esr || optional firefox-esr "the tests in Firefox are skipped"
    has ip || optional iproute2 "the tests with a change of networks are skipped"
    has flite || optional flite "the demo says fewer words aloud"
    # The packages of these servers start services where systemd runs; the tests start their own on free ports of loopback.
    for server in janus kamailio coturn; do
        case $server in
        coturn) program=turnserver consequence="the tests of the TURN server are skipped" ;;
        *) program=$server consequence="the tests with telephones that need it are skipped" ;;
        esac
        if ! has $program && optional $server "$consequence" && has $program && has systemctl; then
            $sudo systemctl disable --now $server >/dev/null 2>&1 || true
        fi
    done
    # The same goes for the database.
    if [ -z "$(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] &&
        optional postgresql "the tests of the history on PostgreSQL are skipped" && has systemctl; then
        $sudo systemctl disable --now postgresql >/dev/null 2>&1 || true
    fi
    has promtool || [ -x .venv/bin/promtool ] ||
        unpack prometheus promtool .venv/bin "the alerts in deploy/prometheus are not tested"
    has baresip || optional baresip-core "the tests with telephones are skipped"
    ;;
esac
