/** Draws frame by frame, and only while something moves. */

/** How long to go on after something changed: colours and levels fade. */
const FADE_MS = 1000;

/**
 * @param {(nowMs: number) => boolean} draw draws one frame; returns whether something moves
 * @returns {() => void} wakes the animation: to be called when something has changed
 */
export function animation(draw) {
  let frame = 0;
  let wokenMs = 0;

  /** @param {number} nowMs */
  function step(nowMs) {
    const moves = draw(nowMs);
    frame = moves || nowMs - wokenMs < FADE_MS ? requestAnimationFrame(step) : 0;
  }

  return () => {
    wokenMs = performance.now();
    frame ||= requestAnimationFrame(step);
  };
}
