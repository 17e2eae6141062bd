/** Statuses that the sheets of a run have taken: those recorded by the server, then those seen here. */

/**
 * @typedef {object} Transition
 * @property {string} status
 * @property {number} at epoch milliseconds.
 * @property {number | null} attempt
 */

/** @typedef {{number: number, status: string, at: string, attempt?: number, backfilled?: boolean}} RecordedTransition */

/** Number of transitions that are kept of a sheet. */
const MAX_TRANSITIONS = 200;

export class SheetHistory {
  /** @type {Map<number, Transition[]>} by number of the sheet. */
  #transitions = new Map();

  /**
   * Return the transitions of a sheet, oldest first.
   *
   * @param {number} number
   */
  get(number) {
    return this.#transitions.get(number) ?? [];
  }

  clear() {
    this.#transitions.clear();
  }

  /**
   * Add the recorded transitions of a run's sheets. Of those that are known from both sides, the recorded ones
   * are kept: the page may have seen them later.
   *
   * @param {RecordedTransition[]} recorded
   */
  load(recorded) {
    const seen = this.#transitions;
    this.#transitions = new Map();
    for (const { number, status, at, attempt = null, backfilled } of recorded) {
      // The time at which a backfilled one happened is unknown.
      // Number 0 is the job itself.
      if (!backfilled && number !== 0) this.#add(number, { status, at: Date.parse(at), attempt });
    }
    for (const [number, transitions] of seen) {
      const last = this.get(number).at(-1);
      const isRecorded = (/** @type {Transition} */ transition) =>
        transition.status === last?.status && transition.attempt === last.attempt;
      const from = transitions.findLastIndex(isRecorded) + 1;
      for (const transition of transitions.slice(from)) {
        if (!last || transition.at > last.at) this.#add(number, transition);
      }
    }
  }

  /**
   * Note the state of a sheet as it is received; a status that is known already is no transition.
   *
   * @param {import("./job.js").Sheet} sheet
   * @param {number} at
   */
  note({ number, status, attempt = null }, at) {
    const last = this.get(number).at(-1);
    if (last?.status === status && last.attempt === attempt) return;
    this.#add(number, { status, at, attempt });
  }

  /**
   * @param {number} number
   * @param {Transition} transition
   */
  #add(number, transition) {
    const known = this.#transitions.get(number);
    if (!known) this.#transitions.set(number, [transition]);
    else {
      known.push(transition);
      if (known.length > MAX_TRANSITIONS) known.shift();
    }
  }
}
