/** What a peer connection may send of video. */

import { MAX_FPS } from "./video.js";

/**
 * @param {RTCRtpSender} sender of video
 * @param {number} maxBitrate
 */
export async function limit(sender, maxBitrate) {
  const parameters = sender.getParameters();
  for (const encoding of parameters.encodings) Object.assign(encoding, { maxBitrate, maxFramerate: MAX_FPS });
  // Few sharp pictures are worth more to the agent than many soft ones.
  parameters.degradationPreference = "maintain-resolution";
  await sender.setParameters(parameters);
}

/**
 * Leaves the abs-send-time extension out of the offer where the browser allows it (Chromium, Safari). aiortc estimates
 * the bandwidth from it and takes two pictures a second for a slow network: 60 kbit/s, at which a screen is unreadable.
 * Without it the browser relies on reported loss, and pictures are sharp after a few seconds.
 * @param {any} transceiver newer than TypeScript's types
 */
export function withoutSendTime(transceiver) {
  const extensions = transceiver.getHeaderExtensionsToNegotiate?.();
  if (!extensions || !transceiver.setHeaderExtensionsToNegotiate) return;
  for (const one of extensions) if (one.uri.endsWith("/abs-send-time")) one.direction = "stopped";
  transceiver.setHeaderExtensionsToNegotiate(extensions);
}
