#!/bin/sh
# Run the README's two commands on a bare Debian: a fresh root of its own, made with debootstrap and thrown away.
#   deploy/bare-root.sh bookworm|trixie                  `make run` until the page answers, then `make test`
#   deploy/bare-root.sh bookworm|trixie 'make unit'      another command instead
# It tests a clone of this checkout, so commit first. It needs root, some 3 GB of disk and debootstrap. Where packages come
# from is this machine's business: its Debian mirror, proxies, certificates and pip configuration are carried into the root.
set -eu

suite=${1:?"usage: deploy/bare-root.sh bookworm|trixie [COMMAND]"}
checkout=$(cd "$(dirname "$0")/.." && pwd)

say() { echo "bare root, $suite: $*"; }

make_root() { # a Debian with no more than the README asks for
    say "debootstrap"
    debian_sources >"$root.sources"
    mirror=$(awk 'NR == 1 { print $2 }' "$root.sources")
    # shellcheck disable=SC2086  # without a mirror debootstrap has its own
    debootstrap --variant=minbase --include=ca-certificates,git,make,python3 "$suite" "$root" $mirror >"$root.log" 2>&1 ||
        { tail -20 "$root.log" >&2; return 1; }
    [ -z "$mirror" ] || cp "$root.sources" "$root/etc/apt/sources.list"
    apt-config dump | grep '^Acquire::' >"$root/etc/apt/apt.conf.d/99machine" || true
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # no package starts a service, as in a container
    chmod 755 "$root/usr/sbin/policy-rc.d"
    cp /etc/resolv.conf /etc/hosts "$root/etc/"
    [ ! -f /etc/ssl/certs/ca-certificates.crt ] || cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    [ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/pip.conf"
    mkdir -p "$root/root/.config/pip"
    [ ! -f "$HOME/.config/pip/pip.conf" ] || cp "$HOME/.config/pip/pip.conf" "$root/root/.config/pip/pip.conf"
    git clone --quiet "$checkout" "$root/srv/talkspurt"
}

debian_sources() { # this machine's Debian sources, for the other suite; nothing if it has none
    # shellcheck disable=SC2016,SC1091  # apt's own variables
    apt-get indextargets --format '$(ORIGIN) deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
        awk -v ours="$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" -v suite="$suite" \
            '$1 == "Debian" && index($4, ours) == 1 { sub(ours, suite, $4); print $2, $3, $4, $5 }' | sort -u -k3
}

enter() { # run a command in the root, with nothing of this machine's environment but the way to its packages
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    # Folders that pip is told to look into, such as a mirror on disk, are seen in the root too; a mirror's files lie
    # beside its index, which is called simple.
    named=$(cat "$root/etc/pip.conf" "$root/root/.config/pip/pip.conf" 2>/dev/null; env | grep '^PIP_' || true)
    for folder in $(echo "$named" | grep -o '\(file:/\)\?/[^ ,;"]\+' | sed 's,^file://*,/,; s,/simple/*$,,' | sort -u); do
        if [ -d "$folder" ]; then
            mkdir -p "$root/$folder"
            mount --bind -o ro "$folder" "$root/$folder"
        fi
    done
    carried=$(env | grep -iE '^(PIP_[A-Z_]*|[A-Z]*_PROXY|SSL_CERT_FILE|REQUESTS_CA_BUNDLE)=' || true)
    oldifs=$IFS
    IFS='
'
    # shellcheck disable=SC2086  # one variable a line
    set -- $carried "$@"
    IFS=$oldifs
    exec chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"
}

both_commands() { # what runs inside
    cat <<'END'
set -eu
cd /srv/talkspurt
python3 --version
TALKSPURT_PORT=0 timeout 1200 make run >/tmp/run.log 2>&1 &
serving=$!
until url=$(sed -n "s/.*talkspurt is ready: open //p" /tmp/run.log) && [ -n "$url" ]; do
    kill -0 $serving 2>/dev/null || { cat /tmp/run.log; echo "make run: no page"; exit 1; }
    sleep 1
done
cat /tmp/run.log
python3 -c "import sys, urllib.request as r; assert b'<title>' in r.urlopen(sys.argv[1], timeout=10).read()" "$url"
echo "make run: the page answers"
kill $serving
wait $serving || true
make test
echo "make test: passed"
END
}

if [ "${BARE_ROOT:-}" ]; then # inside namespaces of its own: mounts and processes go with them
    root=$BARE_ROOT
    command=${2:+"cd /srv/talkspurt && $2"}
    enter sh -c "${command:-$(both_commands)}"
fi

[ "$(id -u)" = 0 ] || { echo "deploy/bare-root.sh: must be run as root" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "deploy/bare-root.sh: needs debootstrap: apt-get install debootstrap" >&2; exit 2; }
work=$(mktemp -d "${TMPDIR:-/var/tmp}/talkspurt-$suite.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT TERM
root=$work/root
mkdir "$root"
make_root
say "$(cat "$root/etc/debian_version"), commit $(git -C "$checkout" rev-parse --short HEAD)"
status=0
BARE_ROOT=$root unshare --mount --pid --fork --kill-child sh "$0" "$@" &
inside=$!
trap 'kill -9 $inside; wait $inside; exit 130' INT TERM
wait $inside || status=$?
say "exit code $status"
exit $status
