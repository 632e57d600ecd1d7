#!/bin/sh
# Install the Debian packages that one step of the Makefile needs, if they are missing.
#   system-packages.sh venv PYTHON   the venv module of that Python
#   system-packages.sh run           libopus (the service works without it, at a higher cost)
#   system-packages.sh test          Chromium, the speaking program and the telephones that the tests use
set -eu

if [ "$(id -u)" = 0 ]; then sudo=""; else sudo="sudo -n"; fi

install() { # install PACKAGE...: says what it does, fails if it cannot
    echo "setting up: Debian packages $*"
    command -v apt-get >/dev/null || { echo "no apt-get here: install $* yourself" >&2; return 1; }
    export DEBIAN_FRONTEND=noninteractive
    $sudo apt-get -qq update >/dev/null
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends "$@" >/dev/null
}

has_library() { ldconfig -p 2>/dev/null | grep -q "$1"; }

case "$1" in
venv)
    "$2" -c 'import ensurepip' 2>/dev/null || install python3-venv
    ;;
run)
    has_library libopus.so.0 || install libopus0 ||
        echo "going on without libopus: PyAV decodes and encodes instead, at a higher cost" >&2
    ;;
test)
    missing=""
    has_library libopus.so.0 || missing="$missing libopus0"
    command -v chromium >/dev/null || missing="$missing chromium"
    command -v flite >/dev/null || missing="$missing flite"
    if [ -n "$missing" ]; then
        # shellcheck disable=SC2086  # a list of names
        install $missing
    fi
    missing=""
    command -v janus >/dev/null || missing="$missing janus"
    command -v kamailio >/dev/null || missing="$missing kamailio"
    command -v baresip >/dev/null || missing="$missing baresip-core"
    command -v turnserver >/dev/null || missing="$missing coturn"
    if [ -n "$missing" ]; then
        # Their packages start services where systemd runs; the tests start their own on free ports of loopback.
        # shellcheck disable=SC2086
        if install $missing; then
            ! command -v systemctl >/dev/null || $sudo systemctl disable --now janus kamailio coturn >/dev/null 2>&1 || true
        else
            echo "going on without telephones: tests/e2e/test_phone*.py and test_turn.py are skipped" >&2
        fi
    fi
    ;;
esac
