/** Small things the browser keeps for this page. Where it refuses (cookies blocked), they last as long as the page. */

export class Store {
  /** @type {Map<string, string>} */
  #here = new Map();
  #area;

  /** @param {() => Storage} area asked each time: with cookies blocked the mere mention of it throws */
  constructor(area) {
    this.#area = area;
  }

  /** @param {string} name */
  get(name) {
    try {
      return this.#area().getItem(`talkspurt.${name}`) ?? "";
    } catch {
      return this.#here.get(name) ?? "";
    }
  }

  /**
   * @param {string} name
   * @param {string} value "" forgets it
   */
  set(name, value) {
    this.#here.set(name, value);
    try {
      if (value) this.#area().setItem(`talkspurt.${name}`, value);
      else this.#area().removeItem(`talkspurt.${name}`);
    } catch {
      // Kept above.
    }
    return value;
  }
}
