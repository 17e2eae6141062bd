/**
 * All streams of one browser: each is opened once however many tabs want it, and no more are open
 * than leave room for other requests. It must not know whether it runs in a worker or in a page.
 */

import { replayOf } from "./replays.js";
import { Stream } from "./stream.js";

/** By HTTP/1.1 a browser opens six connections to a host; two are for what is not a stream. */
const STREAMS_BY_HTTP_1 = 4;

const TICK_MS = 5_000;

/** A tick that comes so much too late has slept. */
const SLEPT_MS = 15_000;

/** Which streams go first where not all can be open: the smallest number does. */
const RANKS = { status: 0, roster: 1, log: 2, events: 3 };

/** The streams, and who wants them. */
export class Hub {
  #streams = new Map();
  #wanted = new Map();
  #most = STREAMS_BY_HTTP_1;
  #ticked = Date.now();

  /** Looks after the streams every few seconds, for as long as the process lives. */
  run() {
    setInterval(() => this.tick(), TICK_MS);
  }

  /** By HTTP/2 and later all streams share one connection. */
  allowMany() {
    this.#most = Infinity;
    this.#share();
  }

  /**
   * Wants a stream.
   *
   * @param {{path: string, kind: string, alone?: boolean}} wanted `alone` for one that begins where
   *   only this subscriber stands, so that it can be shared with no other.
   * @param {{visible: boolean, events: Function, state: Function}} subscriber is told at once
   *   what there is, and then what comes.
   */
  subscribe({ path, kind, alone = false }, subscriber) {
    const key = alone ? Symbol(path) : path;
    const open = this.#streams.get(key);
    // What is over for those who were there may begin anew: a job that is run again, or comes late.
    const shared = open && !isOver(open.stream.state) ? open : this.#begin(key, path, kind);
    this.#wanted.set(subscriber, shared);
    shared.subscribers.add(subscriber);
    subscriber.state(shared.stream.state);
    const events = shared.replay.events();
    if (events.length) subscriber.events(events);
    this.#share();
  }

  /** Wants it no more. */
  unsubscribe(subscriber) {
    const shared = this.#wanted.get(subscriber);
    this.#wanted.delete(subscriber);
    shared?.subscribers.delete(subscriber);
    if (shared?.subscribers.size === 0) {
      if (this.#streams.get(shared.key) === shared) this.#streams.delete(shared.key);
      shared.stream.close();
    }
    this.#share();
  }

  /** A tab has come to be seen, or is seen no more. */
  reorder() {
    this.#share();
  }

  /** The network is back, or somebody looks: nobody is left waiting. */
  wake() {
    for (const { stream } of this.#streams.values()) stream.check({ afterSleep: true });
  }

  /** Looks for streams that are lost. Timers that slept tell of a machine that did. */
  tick(now = Date.now()) {
    const afterSleep = now - this.#ticked > TICK_MS + SLEPT_MS;
    this.#ticked = now;
    for (const { stream } of this.#streams.values()) stream.check({ afterSleep });
  }

  #begin(key, path, kind) {
    const subscribers = new Set();
    const replay = replayOf(kind);
    const onEvents = (events) => {
      replay.add(events);
      for (const subscriber of subscribers) subscriber.events(events);
    };
    const onState = (state) => {
      for (const subscriber of subscribers) subscriber.state(state);
      // One that has ended leaves its place to another.
      if (state.phase === "ended" || state.phase === "failed") this.#share();
    };
    const stream = new Stream(path, { onEvents, onState });
    const shared = { key, kind, subscribers, replay, stream };
    this.#streams.set(key, shared);
    return shared;
  }

  /** Opens those that go first, and pauses the others. */
  #share() {
    const wanted = [...this.#streams.values()].filter(({ stream }) => !isOver(stream.state));
    wanted.sort((a, b) => orderOf(a) - orderOf(b));
    for (const { stream } of wanted.slice(this.#most)) {
      if (stream.state.phase !== "paused") stream.pause();
    }
    for (const { stream } of wanted.slice(0, this.#most)) stream.open();
  }
}

function isOver({ phase }) {
  return phase === "ended" || phase === "failed";
}

function orderOf({ kind, subscribers }) {
  const seen = [...subscribers].some(({ visible }) => visible);
  return (seen ? 0 : 10) + RANKS[kind];
}
