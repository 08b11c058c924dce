// What all pages share: answers of the server, the address that holds a view, how times are written.
import { html, useEffect, useState } from "./vendor/htm-preact.js";

export class Refused extends Error {
  constructor(message, status, body) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

async function answered(response) {
  let body = null;
  try {
    body = await response.json();
  } catch {
    if (response.status === 403)
      throw new Refused("this explorer was started anew: open the address that it printed in another tab, then try again here; what you typed stays", 403, {});
    throw new Refused(`the server answered ${response.status}; is it still running?`, response.status, {});
  }
  if (!response.ok) throw new Refused(body.error || `the server answered ${response.status}`, response.status, body);
  return body;
}

// What the page at this address will ask for, asked for before it is drawn.
const early = new Map();
const video = location.pathname.match(/^\/video\/(\d+)$/);
for (const path of ["/api/about", ...(video ? [`/api/video/${video[1]}`] : [])]) early.set(path, fetch(path));
for (const answer of early.values()) answer.catch(() => {}); // whoever asks is told

export async function get(path, signal) {
  let response;
  const asked = early.get(path);
  early.delete(path);
  try {
    response = await (asked || fetch(path, { signal }));
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("the server does not answer; is surglavi explore still running?", 0, {});
  }
  return answered(response);
}

export async function post(path, body) {
  let response;
  const headers = { "content-type": "application/json" };
  try {
    response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  } catch {
    throw new Refused("the server does not answer; is surglavi explore still running?", 0, {});
  }
  return answered(response);
}

/** What a path gives, as [value, error, again]; the last value stays until the next is here. */
export function useAnswer(path) {
  const [state, setState] = useState([null, null]);
  const [count, setCount] = useState(0);
  useEffect(() => {
    if (path === null) return undefined;
    const controller = new AbortController();
    get(path, controller.signal)
      .then((value) => setState([value, null]))
      .catch((error) => error.name !== "AbortError" && setState(([value]) => [value, error]));
    return () => controller.abort();
  }, [path, count]);
  return [...state, () => setCount((before) => before + 1)];
}

const POLL_MS = 700;

/** Asks for a path again and again while a job is at work; `answer` is told what it gives, `fail` of errors, or null. */
export function usePolling(job, path, answer, fail) {
  const busy = Boolean(job && ["waiting", "running"].includes(job.state));
  useEffect(() => {
    if (!busy) return undefined;
    const timer = setInterval(async () => {
      try {
        answer(await get(path));
        fail(null);
      } catch (problem) {
        fail(problem);
      }
    }, POLL_MS);
    return () => clearInterval(timer);
  }, [busy]);
  return busy;
}

// The address

/** Whether something that was typed would be lost; who has something says so here. */
export const leaving = { unsaved: () => false };

export const mayLeave = () => !leaving.unsaved() || confirm("What you typed is not saved. Leave it?");

addEventListener("beforeunload", (event) => leaving.unsaved() && event.preventDefault());

export function go(url, replace = false) {
  if (!replace && !mayLeave()) return;
  if (replace) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  dispatchEvent(new Event("surglavi:address"));
  if (!replace) scrollTo(0, 0);
}

export function useAddress() {
  const read = () => ({ path: location.pathname, query: new URLSearchParams(location.search) });
  const [address, setAddress] = useState(read);
  useEffect(() => {
    const changed = () => setAddress(read());
    addEventListener("popstate", changed);
    addEventListener("surglavi:address", changed);
    return () => {
      removeEventListener("popstate", changed);
      removeEventListener("surglavi:address", changed);
    };
  }, []);
  return address;
}

/** The query with some parameters changed; null or an empty list takes one out. */
export function changed(query, values) {
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(values)) {
    next.delete(name);
    for (const one of value === null ? [] : [value].flat()) if (one !== "") next.append(name, one);
  }
  const text = next.toString();
  return text ? `?${text}` : "";
}

/** The query with a value of a facet put in or taken out. */
export function toggled(query, name, value) {
  const values = query.getAll(name);
  return changed(query, { [name]: values.includes(value) ? values.filter((one) => one !== value) : [...values, value] });
}

// Words and numbers

export function clock(seconds, digits = 0) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  const factor = 10 ** digits;
  const whole = Math.floor(Math.max(0, seconds) * factor + 1e-6) / factor;
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const rest = (whole % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return `${hours}:${String(minutes).padStart(2, "0")}:${rest}`;
}

/** From when to when, with tenths where it is short. */
export const span = (row) => {
  const digits = row.end - row.start < 2 ? 1 : 0;
  return `${clock(row.start, digits)}–${clock(row.end, digits)}`;
};

/** Seconds of a text such as 1:02:03.5, 2:03 or 7; NaN where it is none. */
export function secondsOf(text) {
  if (!/^\s*(\d+:){0,2}\d+(\.\d*)?\s*$/.test(text)) return NaN;
  return text.trim().split(":").reduce((total, part) => total * 60 + Number(part), 0);
}

export const count = (number) => Number(number).toLocaleString("en");

export const hours = (value) => (value >= 100 ? count(Math.round(value)) : value.toFixed(value >= 1 ? 1 : 2));

export const percent = (value, digits = 1) => (value === null || value === undefined ? "–" : (100 * value).toFixed(digits));

export const LEVELS = ["phase", "step", "task"];

/** Whether a key is not for the page: it is typed into a field, or goes with another key. */
export const isTyping = (event) => {
  const target = event.target;
  return (
    event.ctrlKey || event.metaKey || event.altKey ||
    (target.closest && target.closest("input:not([type=checkbox]):not([type=range]), textarea, select, dialog[open]")) !== null
  );
};

// Small parts

export function Failure({ error }) {
  return error ? html`<p class="failure" role="alert">${error.message}</p>` : null;
}

export function Level({ level }) {
  return html`<span class=${`level ${level}`}>${level}</span>`;
}

export function Badges({ row }) {
  const said = [...(row.state || [])];
  if (row.taken_down) said.push("taken down");
  if (row.surgical === false) said.push("not surgical");
  if (row.descriptive === false) said.push("not descriptive");
  return html`${said.map((name) => html`<span class=${`badge ${name.replace(" ", "-")}`}>${name}</span>`)}`;
}

export function videoAddress(row, more = {}) {
  const query = new URLSearchParams();
  if (row.caption_id !== undefined) query.set("caption", row.caption_id);
  for (const [name, value] of Object.entries(more)) query.set(name, value);
  const text = query.toString();
  return `/video/${row.video_id}${text ? `?${text}` : ""}`;
}

/** A caption with its query's words marked. */
export function Marked({ text, words }) {
  const wanted = (words || "").match(/[\p{L}\p{N}]{2,}/gu);
  if (!wanted) return html`${text}`;
  const stems = wanted.map((word) => word.slice(0, Math.max(3, word.length - 3)).toLowerCase());
  const parts = text.split(/([\p{L}\p{N}]+)/u);
  return html`${parts.map((part) => {
    const low = part.toLowerCase();
    return stems.some((stem) => low.startsWith(stem)) && low.length ? html`<mark>${part}</mark>` : part;
  })}`;
}

export const PAIR_COLOURS = ["#4c78a8", "#f58518", "#54a24b", "#b279a2", "#e45756", "#72b7b2", "#9d755d", "#eeca3b", "#ff9da6", "#79706e", "#2f6f4f", "#6b4fa0"];

export const colourOf = (index) => PAIR_COLOURS[index % PAIR_COLOURS.length];
