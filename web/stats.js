/** How good the connection of a call is, from the browser's statistics. Pure. */

/** @typedef {{rttMs: number | null, jitterMs: number | null, lossPercent: number | null, lost: number, received: number}} Figures */

/**
 * @param {Iterable<any>} reports of RTCPeerConnection.getStats()
 * @param {Figures | null} before the previous figures: loss is that of the time since
 * @returns {Figures}
 */
export function summarise(reports, before) {
  /** @type {Figures} */
  const now = { rttMs: null, jitterMs: null, lossPercent: null, lost: 0, received: 0 };
  let theirs = null;
  for (const report of reports) {
    if (report.type === "inbound-rtp" && report.kind === "audio") {
      [now.lost, now.received] = [report.packetsLost ?? 0, report.packetsReceived ?? 0];
      now.jitterMs = 1000 * (report.jitter ?? 0);
    } else if (report.type === "remote-inbound-rtp" && report.kind === "audio") {
      theirs = report.fractionLost ?? null;
    } else if (report.type === "candidate-pair" && report.nominated && report.currentRoundTripTime !== undefined) {
      now.rttMs = 1000 * report.currentRoundTripTime;
    }
  }
  const lost = Math.max(0, now.lost - (before?.lost ?? 0));
  const due = lost + now.received - (before?.received ?? 0);
  // The worse direction counts: what we lose, or what the service loses.
  if (due > 0) now.lossPercent = 100 * Math.max(lost / due, theirs ?? 0);
  return now;
}
