/** Small texts that the browser keeps for this page. If it refuses, as with cookies blocked, they last as long as the page. */

export class Store {
  /** @type {Map<string, string>} */
  #here = new Map();
  #area;

  /** @param {() => Storage} area called each time, because the mere access throws if cookies are blocked */
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
   * @param {string} value "" removes it
   */
  set(name, value) {
    this.#here.set(name, value);
    try {
      if (value) this.#area().setItem(`talkspurt.${name}`, value);
      else this.#area().removeItem(`talkspurt.${name}`);
    } catch {
      // It is kept in this page.
    }
    return value;
  }
}
