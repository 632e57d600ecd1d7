/** What is wrong with a microphone, camera or screen, and what the caller can do about it. Pure. */

/** @typedef {{title: string, detail: string}} Trouble */

/**
 * @param {unknown} error what getUserMedia threw
 * @param {"microphone" | "camera"} device
 * @returns {Trouble}
 */
export function explain(error, device = "microphone") {
  const name = error instanceof DOMException ? error.name : "";
  const setting = device === "camera" ? "Camera" : "Microphone";
  const again = device === "camera" ? "press Camera again" : "call again";
  switch (name) {
    case "NotAllowedError":
      return {
        title: `The ${device} is blocked`,
        detail: `Allow it for this page: open the site settings beside the address, set ${setting} to Allow, and ${again}.`,
      };
    case "NotFoundError":
      return {
        title: `No ${device} found`,
        detail: device === "camera" ? `Plug one in, and ${again}.` : "Plug one in, or call without one and type.",
      };
    case "NotReadableError":
    case "AbortError":
      return { title: `The ${device} is busy`, detail: `Another program may be using it. Close that program and ${again}.` };
    case "SecurityError":
      return {
        title: `The ${device} needs a secure page`,
        detail: "Browsers allow it only on https:// or localhost. Open this page under such an address.",
      };
    default:
      return { title: `The ${device} could not be opened`, detail: wordsOf(error) };
  }
}

/**
 * @param {unknown} error what getDisplayMedia threw
 * @returns {Trouble | null} null if the caller cancelled in the browser's dialog: nothing is wrong
 */
export function explainScreen(error) {
  const name = error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError" && /by user|dismissed/i.test(wordsOf(error))) return null; // as Chromium says it
  switch (name) {
    case "NotAllowedError":
      return {
        title: "Your screen is not shared",
        detail: "Press Screen again and choose what to share. If the browser offers nothing, sharing is blocked: allow "
          + "screen sharing in the site settings beside the address and, on a Mac, screen recording for this browser in "
          + "System Settings under Privacy & Security.",
      };
    case "NotFoundError":
      return { title: "No screen found", detail: "The browser found nothing to share." };
    case "NotReadableError":
    case "AbortError":
      return { title: "The screen could not be captured", detail: "The system refused it. Try another window, or a browser tab." };
    default:
      return { title: "The screen could not be shared", detail: wordsOf(error) };
  }
}

/** @param {unknown} error */
function wordsOf(error) {
  return error instanceof Error ? error.message : String(error);
}
