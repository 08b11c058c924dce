// What plays: the video, or its frames one after another. Both tell the time; nobody else asks the element.
import { html, useEffect, useRef } from "./vendor/htm-preact.js";

export const SPEEDS = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4];
const FRAME_S = 0.25; // between stored frames that are shown while playing

/** A clock that listeners follow; `attach` gives it something to play. */
export class Player {
  constructor() {
    this.listeners = new Set();
    this.time = 0;
    this.duration = 0;
    this.rate = 1;
    this.paused = true;
    this.loop = null; // [start, end] in seconds
    this.until = null; // where playing ends, of an interval that was clicked
    this.element = null;
    this.frames = null; // shows the frame at a time, where there is no video
    this.wanted = null; // what to seek to once there is something to seek in
  }

  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  tell() {
    for (const listener of this.listeners) listener(this);
  }

  attachVideo(element) {
    this.element = element;
    if (!element) return;
    element.playbackRate = this.rate;
    const at = this.time;
    const ready = () => {
      if (Number.isFinite(element.duration)) this.duration = Math.max(this.duration, element.duration);
      this.seek(this.wanted ?? at); // where its frames were shown until now
      this.tell();
    };
    if (element.readyState >= 1) ready();
    else element.addEventListener("loadedmetadata", ready, { once: true });
    for (const name of ["play", "pause", "ratechange", "seeked", "ended", "error"])
      element.addEventListener(name, () => {
        this.paused = element.paused;
        if (!element.seeking) this.time = element.currentTime; // it went on a little after the last picture
        this.tell();
      });
    this.run();
  }

  attachFrames(show) {
    this.frames = show;
    if (show && this.wanted !== null) this.seek(this.wanted);
  }

  /** Follows the clock while something plays. */
  run() {
    cancelAnimationFrame(this.request);
    let last = performance.now();
    const step = (now) => {
      if (this.element) {
        if (!this.element.seeking) this.time = this.element.currentTime;
      } else if (!this.paused) {
        this.time = Math.min(this.duration, this.time + (this.rate * (now - last)) / 1000);
        if (this.time >= this.duration) this.paused = true;
        if (this.frames) this.frames(this.time);
      }
      last = now;
      if (this.loop && !this.paused && (this.time >= this.loop[1] || this.time < this.loop[0] - 0.5)) this.seek(this.loop[0]);
      else if (this.until !== null && this.time >= this.until) {
        this.until = null;
        this.pause();
      }
      this.tell();
      if (!this.paused) this.request = requestAnimationFrame(step);
    };
    if (!this.paused) this.request = requestAnimationFrame(step);
  }

  play(until = null) {
    this.until = until;
    this.paused = false;
    if (this.element) this.element.play().catch(() => { this.paused = true; this.tell(); });
    this.run();
    this.tell();
  }

  pause() {
    this.paused = true;
    this.until = null;
    if (this.element) this.element.pause();
    this.tell();
  }

  seek(time) {
    const most = this.duration || Infinity;
    this.time = Math.min(Math.max(0, time), most);
    if (this.until !== null && this.time > this.until) this.until = null;
    if (this.element) {
      if (this.element.readyState >= 1) {
        this.element.currentTime = this.time;
        this.wanted = null;
      } else this.wanted = this.time;
    } else if (this.frames) {
      this.frames(this.time);
      this.wanted = null;
    } else this.wanted = this.time;
    this.tell();
  }

  setRate(rate) {
    this.rate = rate;
    if (this.element) this.element.playbackRate = rate;
    this.tell();
  }

  close() {
    cancelAnimationFrame(this.request);
    this.listeners.clear();
  }
}

export function VideoElement({ player, src, label, onFailure }) {
  const element = useRef(null);
  useEffect(() => {
    player.attachVideo(element.current);
    player.run();
    return () => player.attachVideo(null);
  }, [src]);
  return html`<video ref=${element} src=${src} preload="metadata" playsinline aria-label=${label} onError=${onFailure} onClick=${() => (player.paused ? player.play() : player.pause())}></video>`;
}

/** Stored frames, each asked for when the last is here. */
export function FrameElement({ player, address, label }) {
  const image = useRef(null);
  useEffect(() => {
    let busy = false;
    let next = null;
    let shown = null;
    const show = (time) => {
      const at = Math.round(time / FRAME_S) * FRAME_S;
      if (at === shown) return;
      if (busy) {
        next = at;
        return;
      }
      busy = true;
      shown = at;
      if (image.current) image.current.src = address(at.toFixed(2));
    };
    const done = () => {
      busy = false;
      if (next !== null && next !== shown) {
        const at = next;
        next = null;
        show(at);
      }
    };
    const element = image.current;
    element.addEventListener("load", done);
    element.addEventListener("error", done);
    player.attachFrames(show);
    show(player.time);
    return () => player.attachFrames(null);
  }, []);
  return html`<img ref=${image} alt=${label} onClick=${() => (player.paused ? player.play() : player.pause())} />`;
}
