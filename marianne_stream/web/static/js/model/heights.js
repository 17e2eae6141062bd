/**
 * The heights of many rows, one below the other: where a row begins, and which row is at a place, in
 * a time that grows with the logarithm of their number (a Fenwick tree).
 */
export class Heights {
  #heights = [];
  #tree = [0];

  get length() {
    return this.#heights.length;
  }

  /** How high all of them are together. */
  get total() {
    return this.offset(this.#heights.length);
  }

  /** Puts other rows in the place of all. */
  reset(heights) {
    this.#heights = Array.from(heights);
    const tree = (this.#tree = [0, ...this.#heights]);
    for (let at = 1; at < tree.length; at += 1) {
      const above = at + (at & -at);
      if (above < tree.length) tree[above] += tree[at];
    }
  }

  /** Adds a row below all others. */
  push(height) {
    const at = this.#tree.length;
    this.#heights.push(height);
    this.#tree.push(height + this.offset(at - 1) - this.offset(at - (at & -at)));
  }

  get(index) {
    return this.#heights[index];
  }

  /** Gives a row another height; says by how much it is higher than before. */
  set(index, height) {
    const more = height - this.#heights[index];
    this.#heights[index] = height;
    for (let at = index + 1; more && at < this.#tree.length; at += at & -at) {
      this.#tree[at] += more;
    }
    return more;
  }

  /** Where a row begins: how high all those above it are together. */
  offset(index) {
    let sum = 0;
    for (let at = index; at > 0; at -= at & -at) sum += this.#tree[at];
    return sum;
  }

  /** Which row is at a place; the first or the last where it is beside all. */
  indexAt(place) {
    const count = this.#heights.length;
    let found = 0;
    let rest = place;
    for (let step = 1 << Math.floor(Math.log2(count || 1)); step; step >>= 1) {
      if (found + step <= count && this.#tree[found + step] <= rest) {
        found += step;
        rest -= this.#tree[found];
      }
    }
    return Math.max(0, Math.min(found, count - 1));
  }
}
