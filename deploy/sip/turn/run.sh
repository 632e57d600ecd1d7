#!/bin/sh
# Start coturn with the configuration here, and the arguments that are given. From the environment:
#   TURN_SECRET        shared with whoever makes credentials; 16 characters or more (required)
#   TURN_ADDRESS       address to listen on and to relay from [127.0.0.1]
#   SERVICE_ADDRESSES  addresses of talkspurt, if they are private or this machine's: callers may reach them [none]
set -eu

: "${TURN_SECRET:?is the secret that credentials are made with: 16 characters or more, e.g. of openssl rand -hex 24}"
case "$TURN_SECRET" in
    *change-me*) echo "TURN_SECRET: take a secret of your own, not the placeholder" >&2; exit 2 ;;
    *[!A-Za-z0-9._~-]*) echo "TURN_SECRET: use letters, digits and . _ ~ - only" >&2; exit 2 ;;
    ????????????????*) ;;
    *) echo "TURN_SECRET: use 16 characters or more, or it can be guessed" >&2; exit 2 ;;
esac

here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
chmod 700 "$folder"
configuration=$folder/turnserver.conf
address=${TURN_ADDRESS:-127.0.0.1}
{
    sed "s|^listening-ip=.*|listening-ip=$address|" "$here/turnserver.conf"
    echo "relay-ip=$address"
    echo "static-auth-secret=$TURN_SECRET"
    hostname -I 2>/dev/null | tr ' ' '\n' | sed -n 's/^[0-9a-f.:]\{1,\}$/denied-peer-ip=&/p'
    for service in ${SERVICE_ADDRESSES:-}; do echo "allowed-peer-ip=$service"; done
} > "$configuration"
exec turnserver -c "$configuration" "$@"
