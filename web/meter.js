/** Meters of loudness. They share one AudioContext, which browsers allow only after a click. */

const FLOOR_DB = -62;
const CEILING_DB = -14;

/** @type {AudioContext | null} */
let context = null;

/** To be called on a click, before a stream is attached. */
export function wakeMeters() {
  context ??= new AudioContext();
  void context.resume();
}

/** Releases the audio hardware while nothing is measured. */
export function restMeters() {
  void context?.suspend();
}

export class Meter {
  /** @type {MediaStreamAudioSourceNode | null} */
  #source = null;
  /** @type {AnalyserNode | null} */
  #analyser = null;
  #samples = new Float32Array(1024);
  #shown = 0;

  /** @param {MediaStream | null} stream null: silence */
  attach(stream) {
    this.#source?.disconnect();
    this.#source = this.#analyser = null;
    if (!context || !stream?.getAudioTracks().length) return;
    const analyser = new AnalyserNode(context, { fftSize: this.#samples.length });
    try {
      this.#source = context.createMediaStreamSource(stream);
    } catch {
      return; // Firefox, if the device has another sampling rate: better no meter than no call
    }
    this.#source.connect(analyser); // and no further: the audio element plays it
    this.#analyser = analyser;
  }

  /** @returns {number} 0 (silence) to 1 (loud); rises at once and falls slowly */
  read() {
    const level = this.#analyser ? loudness(this.#analyser, this.#samples) : 0;
    this.#shown = level > this.#shown ? level : Math.max(level, this.#shown * 0.88 - 0.003, 0);
    return this.#shown;
  }
}

/**
 * @param {AnalyserNode} analyser
 * @param {Float32Array<ArrayBuffer>} samples
 */
function loudness(analyser, samples) {
  analyser.getFloatTimeDomainData(samples);
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const db = 10 * Math.log10(sum / samples.length + 1e-12);
  return Math.min(1, Math.max(0, (db - FLOOR_DB) / (CEILING_DB - FLOOR_DB)));
}
