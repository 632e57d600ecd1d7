/** The orb: a soft disc with five bars that move with the voice of whoever is speaking. */

const BARS = 5;
const STILL = [0.3, 0.62, 1, 0.62, 0.3];

export class Orb {
  #canvas;
  #pen;
  #still = matchMedia("(prefers-reduced-motion: reduce)");
  /** Levels of the last frames, newest first; the outer bars show older ones. */
  #recent = new Array(16).fill(0);

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    this.#pen = canvas.getContext("2d");
  }

  /**
   * @param {number} nowMs
   * @param {number} level 0..1
   * @param {import("./state.js").AgentState | null} state null outside a call
   */
  draw(nowMs, level, state) {
    const pen = this.#pen;
    const size = this.#canvas.clientWidth;
    if (!pen || !size) return;
    const scale = window.devicePixelRatio || 1;
    if (this.#canvas.width !== Math.round(size * scale)) {
      this.#canvas.width = this.#canvas.height = Math.round(size * scale);
    }
    this.#recent.unshift(level);
    this.#recent.pop();
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, size, size);
    pen.translate(size / 2, size / 2);
    // CSS chooses the colour: by state and scheme, with transitions.
    const style = getComputedStyle(this.#canvas);
    const t = this.#still.matches ? 0 : nowMs / 1000;
    pen.fillStyle = style.color;
    for (const [ring, alpha] of [[2, 0.1], [1, 0.18], [0, 1]]) {
      pen.globalAlpha = alpha ?? 1;
      this.#disc(pen, size * (0.3 + (ring ?? 0) * (0.045 + 0.035 * level)), ring ?? 0, t, level);
    }
    pen.globalAlpha = 1;
    pen.fillStyle = style.backgroundColor;
    for (let bar = 0; bar < BARS; bar++) this.#bar(pen, size, bar, t, state);
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {number} radius
   * @param {number} ring 0 is the solid middle
   * @param {number} t
   * @param {number} level
   */
  #disc(pen, radius, ring, t, level) {
    const wave = t === 0 ? 0 : radius * (0.012 + 0.05 * level) * (ring === 0 ? 0.35 : 1);
    pen.beginPath();
    for (let step = 0; step <= 72; step++) {
      const angle = (step / 72) * 2 * Math.PI;
      const r = radius + wave * (Math.sin(3 * angle + t * 1.1 + ring * 2) + 0.6 * Math.sin(5 * angle - t * 1.6 + ring));
      pen.lineTo(r * Math.cos(angle), r * Math.sin(angle));
    }
    pen.fill();
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {number} size
   * @param {number} bar
   * @param {number} t
   * @param {import("./state.js").AgentState | null} state null outside a call
   */
  #bar(pen, size, bar, t, state) {
    const middle = Math.abs(bar - 2);
    let share = STILL[bar] ?? 0.3;
    if (t > 0 && state === "thinking") share = 0.34 + 0.22 * Math.sin(t * 4.2 - bar * 0.9);
    else if (t > 0 && state !== null) share *= 0.3 + 0.85 * (this.#recent[middle * 4] ?? 0);
    const width = size * 0.034;
    const height = Math.max(width, size * 0.3 * share);
    pen.beginPath();
    pen.roundRect((bar - 2) * width * 1.9 - width / 2, -height / 2, width, height, width / 2);
    pen.fill();
  }
}
