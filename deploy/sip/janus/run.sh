#!/bin/sh
# Start Janus with the configuration here. What differs between machines comes from the environment:
#   JANUS_SECRET       api_secret; the service's TALKSPURT_JANUS_SECRET: 16 characters or more (required)
#   JANUS_INTERFACE    network interface that the service is reached by; never lo [the one of the default route]
#   JANUS_WS_ADDRESS   address of the WebSocket, private [127.0.0.1]; JANUS_WS_PORT [8188]
#   SIP_ADDRESS        where Janus speaks SIP, with Kamailio alone; keep strangers from it [127.0.0.1]
#   MEDIA_ADDRESS      where phones send their audio: this machine's own address [127.0.0.1]
#   PUBLIC_ADDRESS     what phones are told, if NAT makes it another [MEDIA_ADDRESS]
set -eu

: "${JANUS_SECRET:?is the api_secret, which TALKSPURT_JANUS_SECRET repeats}"
interface=${JANUS_INTERFACE:-$(ip -4 route show default 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)}
media=${MEDIA_ADDRESS:-127.0.0.1}
case "$JANUS_SECRET" in
    *change-me*) echo "JANUS_SECRET: take a secret of your own, not the placeholder" >&2; exit 2 ;;
    *[!A-Za-z0-9._~-]*) echo "JANUS_SECRET: use letters, digits and . _ ~ - only" >&2; exit 2 ;;
    ????????????????*) ;;
    *) echo "JANUS_SECRET: use 16 characters or more, or it can be guessed" >&2; exit 2 ;;
esac

here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
cp "$here"/*.jcfg "$folder"
chmod 700 "$folder"
sed -i -e "s|change-me-janus-secret|$JANUS_SECRET|" -e "s|\"eth0\"|\"${interface:-eth0}\"|" "$folder/janus.jcfg"
sed -i -e "s|ws = false|ws = true|" -e "s|ws_port = 8188|ws_port = ${JANUS_WS_PORT:-8188}|" \
    -e "s|ws_ip = \"127.0.0.1\"|ws_ip = \"${JANUS_WS_ADDRESS:-127.0.0.1}\"|" "$folder/janus.transport.websockets.jcfg"
sed -i -e "s|^\(\tlocal_ip = \).*|\1\"${SIP_ADDRESS:-127.0.0.1}\"|" \
    -e "s|^\(\tlocal_media_ip = \).*|\1\"$media\"|" \
    -e "s|^\(\tsdp_ip = \).*|\1\"${PUBLIC_ADDRESS:-$media}\"|" "$folder/janus.plugin.sip.jcfg"
exec janus -F "$folder" -C "$folder/janus.jcfg"
