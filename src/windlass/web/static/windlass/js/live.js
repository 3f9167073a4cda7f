// Events as they happen: over a WebSocket, or as Server-Sent Events where no WebSocket gets through.

import { call, urlOf } from "./api.js";

const UPGRADES_BEFORE_FALLBACK = 2;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 30_000;
const SILENCE_BEFORE_PING = 25_000;
const PONG_WAIT = 10_000;

/**
 * Follow what `path` names: "/ws/events" (everything from now on), "/ws/files/{id}" or "/ws/uploads/{id}" (from the first event on).
 *
 * `since` is the number of the last event that is known. `onEvent` gets each event once and in order, and progress, whose id is
 * null; after a break it goes on where it stopped. `onState` gets "live" and "retrying", and "ended" with the error where the
 * server refuses for good. Returns {close()}.
 */
export function subscribe(path, { since, onEvent, onState = () => {} }) {
  const subscription = new Subscription(path, since ?? null, onEvent, onState);
  subscription.open();
  return { close: () => subscription.close() };
}

class Subscription {
  constructor(path, last, onEvent, onState) {
    Object.assign(this, { path, last, onEvent, onState });
    this.stream = path.replace(/^\/ws/, "").replace(/\/events$|$/, "/events/");
    this.failedUpgrades = this.failures = 0;
    this.state = null;
    this.connection = null;
    this.listeners = new AbortController();
    const listen = (target, name, act) => target.addEventListener(name, act, { signal: this.listeners.signal });
    listen(window, "online", () => this.reopen());
    listen(document, "visibilitychange", () => !document.hidden && this.connection?.test?.());
    // A page with an open connection is not kept for "back".
    listen(window, "pagehide", () => this.disconnect());
    listen(window, "pageshow", (event) => event.persisted && this.reopen());
  }

  open() {
    this.connection = this.failedUpgrades < UPGRADES_BEFORE_FALLBACK ? new Socket(this) : new Stream(this);
  }

  /** Now instead of after the wait; nothing where it is connected. */
  reopen() {
    if (this.connection?.isOpen) return;
    this.disconnect();
    this.open();
  }

  disconnect() {
    clearTimeout(this.timer);
    this.connection?.end();
    this.connection = null;
  }

  close() {
    this.listeners.abort();
    this.disconnect();
  }

  show(state, error) {
    if (state === this.state) return;
    this.state = state;
    this.onState(state, error);
  }

  opened() {
    this.failures = 0;
    this.show("live");
  }

  received(event) {
    if (event.id !== null) {
      if (this.last !== null && event.id <= this.last) return;
      this.last = event.id;
    }
    this.onEvent(event);
  }

  /** The connection has ended. `refused`: before it was open; the reason cannot be seen from here, so it is asked for. */
  async lost(connection, refused) {
    if (connection !== this.connection) return;
    this.connection = null;
    this.show("retrying");
    let wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.failures) * (0.5 + Math.random() / 2);
    this.failures += 1;
    if (refused) {
      try {
        await call("HEAD", urlOf(this.stream), { signal: this.listeners.signal });
        if (connection instanceof Socket) this.failedUpgrades += 1; // the server is there: something between refuses
      } catch (error) {
        if (this.listeners.signal.aborted) return;
        if (!error.isTransient) return this.show("ended", error);
        wait = Math.max(wait, (error.retryAfter ?? 0) * 1000);
      }
    }
    if (this.connection || this.listeners.signal.aborted) return; // it was reopened meanwhile
    this.timer = setTimeout(() => this.open(), wait);
  }
}

class Socket {
  constructor(owner) {
    const url = new URL(urlOf(owner.path), location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    if (owner.last !== null) url.searchParams.set("since", owner.last);
    this.socket = new WebSocket(url);
    this.isOpen = false;
    this.socket.addEventListener("open", () => {
      this.isOpen = true;
      owner.opened();
      this.test(); // the answer tells from where on to resume, also where nothing happens before a break
    });
    this.socket.addEventListener("message", ({ data }) => {
      this.heard();
      const message = JSON.parse(data);
      if ("type" in message) owner.received(message);
      else if ("since" in message) owner.last = Math.max(owner.last ?? 0, message.since);
    });
    // 4401: the credential has ended, which the next request shows; it leads to the sign-in page.
    this.socket.addEventListener("close", ({ code }) => this.lost(owner, !this.isOpen || code === 4401));
    this.owner = owner;
  }

  lost(owner, refused) {
    this.end();
    owner.lost(this, refused);
  }

  heard() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.test(), SILENCE_BEFORE_PING);
  }

  /** A browser does not notice that a network is gone: ask for an answer, and take a missing one as a loss. */
  test() {
    if (!this.isOpen) return;
    this.socket.send('{"ping":1}');
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.lost(this.owner, false), PONG_WAIT);
  }

  end() {
    clearTimeout(this.timer);
    this.isOpen = false;
    this.socket.close();
  }
}

class Stream {
  constructor(owner) {
    const url = new URL(urlOf(owner.stream), location.href);
    if (owner.last !== null) url.searchParams.set("lastEventId", owner.last);
    this.source = new EventSource(url);
    this.source.addEventListener("open", () => owner.opened());
    this.source.addEventListener("message", ({ data }) => owner.received(JSON.parse(data)));
    this.source.addEventListener("error", () => {
      const refused = this.source.readyState === EventSource.CLOSED; // otherwise it connects again by itself
      if (refused) owner.lost(this, true);
      else owner.show("retrying");
    });
  }

  get isOpen() {
    return this.source.readyState === EventSource.OPEN;
  }

  end() {
    this.source.close();
  }
}
