/**
 * The sides of a recording. Both are tracks of one Matroska file (RFC 9559), and browsers decode only the first audio
 * track. So each side is decoded from a copy in which everything of the others is void: the ids of what is hidden
 * are one byte long, as that of Void is.
 */

const [EBML, SEGMENT, CLUSTER, TRACKS] = [0x1a45dfa3, 0x18538067, 0x1f43b675, 0x1654ae6b];
const [TRACK_ENTRY, TRACK_NUMBER, TRACK_TYPE, TRACK_NAME] = [0xae, 0xd7, 0x83, 0x536e];
const [SIMPLE_BLOCK, BLOCK_GROUP, BLOCK, VOID] = [0xa3, 0xa0, 0xa1, 0xec];
const AUDIO = 2;
const MAX_S = 2 * 3600;

/** @typedef {{id: number, start: number, body: number, end: number}} Element */

/**
 * @param {Uint8Array} file
 * @param {number} at
 * @param {number} limit
 * @returns {Element | null} null if there is none
 */
function elementAt(file, at, limit) {
  const idLength = Math.clz32(file[at] ?? 0) - 23;
  const sizeLength = Math.clz32(file[at + idLength] ?? 0) - 23;
  const body = at + idLength + sizeLength;
  if (idLength > 4 || sizeLength > 8 || body > limit) return null;
  let id = 0;
  for (let i = at; i < at + idLength; i += 1) id = id * 256 + file[i];
  let size = file[at + idLength] & (0xff >> sizeLength);
  let unknown = size === 0xff >> sizeLength;
  for (let i = at + idLength + 1; i < body; i += 1) {
    size = size * 256 + file[i];
    unknown &&= file[i] === 0xff;
  }
  return { id, start: at, body, end: unknown ? limit : Math.min(limit, body + size) };
}

/** @param {Uint8Array} file @param {number} from @param {number} to */
function* elements(file, from, to) {
  for (let element = elementAt(file, from, to); element; element = elementAt(file, element.end, to)) yield element;
}

/** @param {Uint8Array} file @param {Element} entry */
function trackOf(file, entry) {
  let [number, type, name] = [0, 0, ""];
  for (const { id, body, end } of elements(file, entry.body, entry.end)) {
    if (id === TRACK_NUMBER) number = file.subarray(body, end).reduce((value, byte) => value * 256 + byte, 0);
    else if (id === TRACK_TYPE) type = file[body];
    else if (id === TRACK_NAME) name = new TextDecoder().decode(file.subarray(body, end));
  }
  return { number, type, name: name.toLowerCase() };
}

/** Returns the number of the track that a block is of: a number as EBML writes sizes. @param {Uint8Array} file @param {number} at */
function numberAt(file, at) {
  const length = Math.clz32(file[at] ?? 0) - 23;
  let number = file[at] & (0xff >> length);
  for (let i = at + 1; i < at + length; i += 1) number = number * 256 + file[i];
  return number;
}

/**
 * @param {Uint8Array} file
 * @returns {Uint8Array[]} a file for each audio track, the caller's first; just the file if it is of another kind
 */
function sides(file) {
  if (elementAt(file, 0, file.length)?.id !== EBML) return [file];
  /** @type {{number: number, type: number, name: string}[]} */
  const tracks = [];
  /** @type {[number, number][]} */
  const owned = []; // where something of a track begins, and the track's number
  let at = 0;
  for (let element = elementAt(file, at, file.length); element; element = elementAt(file, at, file.length)) {
    const { id, start, body } = element;
    const inside = id === SEGMENT || id === CLUSTER || id === TRACKS; // their length may be unknown: their content follows
    if (id === TRACK_ENTRY) {
      const track = trackOf(file, element);
      tracks.push(track);
      owned.push([start, track.number]);
    } else if (id === SIMPLE_BLOCK) {
      owned.push([start, numberAt(file, body)]);
    } else if (id === BLOCK_GROUP) {
      for (const inner of elements(file, body, element.end)) {
        if (inner.id === BLOCK) owned.push([start, numberAt(file, inner.body)]);
      }
    }
    at = inside ? body : element.end;
  }
  const audio = tracks.filter((track) => track.type === AUDIO);
  audio.sort((one, other) => Number(one.name.includes("agent")) - Number(other.name.includes("agent")));
  if (audio.length < 2) return [file];
  return audio.slice(0, 2).map((track) => {
    const alone = file.slice();
    for (const [start, number] of owned) if (number !== track.number) alone[start] = VOID;
    return alone;
  });
}

/** Which rate a recording is decoded with, so that a long one does not fill the memory. @param {number} seconds */
function rateHz(seconds) {
  if (seconds < 600) return 48_000;
  return seconds < 2400 ? 24_000 : 12_000;
}

/**
 * @param {Uint8Array} file
 * @param {number} durationMs as the history says
 * @returns {Promise<Float32Array[] & {rateHz?: number}>} the samples of each side
 * @throws {RangeError} it is too long; {DOMException} the browser cannot decode it
 */
export async function decodedSides(file, durationMs) {
  if (durationMs / 1000 > MAX_S) throw new RangeError("too long");
  const rate = rateHz(durationMs / 1000);
  /** @type {Float32Array[] & {rateHz?: number}} */
  const found = [];
  for (const side of sides(file)) {
    const buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData(/** @type {ArrayBuffer} */ (side.slice().buffer));
    for (let channel = 0; channel < buffer.numberOfChannels && found.length < 2; channel += 1) {
      found.push(buffer.getChannelData(channel));
      if (buffer.numberOfChannels !== 2) break; // both sides may be the channels of one track
    }
  }
  found.rateHz = rate;
  return found;
}
