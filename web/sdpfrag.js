/** Trickle ICE fragments (RFC 8840) for WHIP's PATCH. Pure. */

/** @typedef {{mid: string, candidate: string}} Candidate */

/**
 * @param {string} sdp the local description the candidates belong to
 * @param {Candidate[]} candidates
 * @param {boolean} complete true if no candidate follows
 * @returns {string} body of `application/trickle-ice-sdpfrag`
 */
export function fragment(sdp, candidates, complete) {
  const lines = [`a=ice-ufrag:${attribute(sdp, "ice-ufrag")}`, `a=ice-pwd:${attribute(sdp, "ice-pwd")}`];
  const media = mediaLines(sdp);
  const mids = new Set(candidates.map((candidate) => candidate.mid));
  // If there are no candidates, their end goes to the first m-line, on which everything is bundled.
  if (mids.size === 0) mids.add(media[0]?.mid ?? "0");
  for (const mid of mids) {
    lines.push(`m=${media.find((one) => one.mid === mid)?.kind ?? "audio"} 9 UDP/TLS/RTP/SAVPF 0`);
    lines.push(`a=mid:${mid}`);
    for (const one of candidates) if (one.mid === mid) lines.push(`a=${one.candidate}`);
    if (complete) lines.push("a=end-of-candidates");
  }
  return lines.join("\r\n") + "\r\n";
}

/**
 * @param {string} sdp
 * @param {string} name
 */
function attribute(sdp, name) {
  return new RegExp(`^a=${name}:(.*?)\\r?$`, "m").exec(sdp)?.[1] ?? "";
}

/**
 * @param {string} sdp
 * @returns {{kind: string, mid: string}[]}
 */
function mediaLines(sdp) {
  return sdp
    .split(/^m=/m)
    .slice(1)
    .map((section) => ({ kind: section.split(" ", 1)[0] ?? "", mid: attribute(section, "mid") }));
}
