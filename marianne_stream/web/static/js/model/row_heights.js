/**
 * Heights of many rows, one below the other: where a row begins, and which row is at a given offset.
 * A Fenwick tree: each operation takes time logarithmic in the number of rows.
 */
export class RowHeights {
  /** @type {number[]} */
  #heights = [];
  /** Partial sums; index 0 is unused. */
  #tree = [0];

  get length() {
    return this.#heights.length;
  }

  /** Sum of all heights. */
  get total() {
    return this.offset(this.#heights.length);
  }

  /**
   * Replace all rows.
   *
   * @param {Iterable<number>} heights
   */
  reset(heights) {
    this.#heights = Array.from(heights);
    const tree = (this.#tree = [0, ...this.#heights]);
    for (let at = 1; at < tree.length; at += 1) {
      const parent = at + (at & -at);
      if (parent < tree.length) tree[parent] += tree[at];
    }
  }

  /**
   * Add a row at the end.
   *
   * @param {number} height
   */
  push(height) {
    const at = this.#tree.length;
    this.#heights.push(height);
    this.#tree.push(height + this.offset(at - 1) - this.offset(at - (at & -at)));
  }

  /**
   * Return the height of a row.
   *
   * @param {number} index
   */
  get(index) {
    return this.#heights[index];
  }

  /**
   * Set the height of a row.
   *
   * @param {number} index
   * @param {number} height
   * @returns {number} the new height less the old one.
   */
  set(index, height) {
    const growth = height - this.#heights[index];
    this.#heights[index] = height;
    if (!growth) return 0;
    for (let at = index + 1; at < this.#tree.length; at += at & -at) this.#tree[at] += growth;
    return growth;
  }

  /**
   * Return the offset at which a row begins: the sum of the heights above it.
   *
   * @param {number} index
   */
  offset(index) {
    let sum = 0;
    for (let at = index; at > 0; at -= at & -at) sum += this.#tree[at];
    return sum;
  }

  /**
   * Return the index of the row at an offset, clamped to the first and the last row.
   *
   * @param {number} offset
   */
  indexAt(offset) {
    const count = this.#heights.length;
    let found = 0;
    let rest = offset;
    for (let step = 1 << Math.floor(Math.log2(count || 1)); step; step >>= 1) {
      if (found + step <= count && this.#tree[found + step] <= rest) {
        found += step;
        rest -= this.#tree[found];
      }
    }
    return Math.max(0, Math.min(found, count - 1));
  }
}
