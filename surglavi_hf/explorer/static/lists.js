// Captions and videos as lists of any length: only the rows in view are here.
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { Badges, Failure, Level, Marked, Refused, changed, clock, count, get, go, span, videoAddress } from "./common.js";
import { ChosenFilters, Filters } from "./overview.js";

const PAGE = 100;
const BESIDE = 6; // rows that are drawn above and below the view
const TALLEST = 12e6; // pixels; browsers draw nothing beyond 16 to 33 millions

/** Rows from the server as they come into view. */
function useRows(address) {
  const [version, setVersion] = useState(0);
  const held = useRef({});
  const state = held.current;
  if (state.address !== address) {
    Object.assign(state, { address, pages: new Map(), asked: new Set(), total: state.total ?? null, error: null });
  }
  const load = (page) => {
    if (state.asked.has(page)) return;
    state.asked.add(page);
    get(`${address}${address.includes("?") ? "&" : "?"}offset=${page * PAGE}&limit=${PAGE}`)
      .then((found) => {
        if (held.current.address !== address) return;
        state.pages.set(page, found.rows);
        state.total = found.total;
        state.error = null;
      })
      .catch((error) => {
        state.asked.delete(page);
        if (error instanceof Refused) state.error = error;
      })
      .finally(() => setVersion((before) => before + 1));
  };
  useEffect(() => load(0), [address]);
  const row = (index) => {
    const rows = state.pages.get(Math.floor(index / PAGE));
    return rows ? rows[index % PAGE] : null;
  };
  return { total: state.total, error: state.error, row, load, version };
}

/** Draws the rows that are in view; `height` is that of one in pixels. */
function Rows({ rows, height, draw, label, columns }) {
  const box = useRef(null);
  const [view, setView] = useState({ top: 0, height: 800 });
  const total = rows.total || 0;
  const full = total * height;
  const tall = Math.min(full, TALLEST);
  // Where the view begins among all rows; a longer list than browsers draw scrolls faster than its rows are tall.
  const begins = full > TALLEST ? (view.top / Math.max(1, tall - view.height)) * (full - view.height) : view.top;
  const first = Math.max(0, Math.floor(begins / height));
  const from = Math.max(0, first - BESIDE);
  const until = Math.min(total, first + Math.ceil(view.height / height) + 1 + BESIDE);
  const top = (index) => index * height - begins + view.top;
  useEffect(() => {
    for (let page = Math.floor(from / PAGE); page * PAGE < until; page++) rows.load(page);
  });
  useEffect(() => {
    const look = () => box.current && setView({ top: box.current.scrollTop, height: box.current.clientHeight });
    look();
    addEventListener("resize", look);
    return () => removeEventListener("resize", look);
  }, []);
  return html`<div class="rows" role="table" aria-label=${label} aria-rowcount=${total + 1}>
    <div class="row head" role="row" aria-rowindex="1">${columns.map((name) => html`<span role="columnheader">${name}</span>`)}</div>
    <div class="scroll" ref=${box} tabindex="0" role="rowgroup" aria-label=${`${label}, scrolls`}
      onScroll=${(event) => setView({ top: event.currentTarget.scrollTop, height: event.currentTarget.clientHeight })}>
      <div class="long" role="presentation" style=${{ height: `${tall}px` }}>
        ${Array.from({ length: Math.max(0, until - from) }, (_, at) => {
          const index = from + at;
          const row = rows.row(index);
          return html`<div class="row" role="row" key=${index} aria-rowindex=${index + 2}
            style=${{ transform: `translateY(${top(index)}px)`, height: `${height}px` }}>
            ${row ? draw(row) : html`<span role="cell" class="waiting">…</span>`}
          </div>`;
        })}
      </div>
    </div>
  </div>`;
}

function useHeight(wide, narrow) {
  const media = matchMedia("(max-width: 760px)");
  const [is, setIs] = useState(media.matches);
  useEffect(() => {
    const changedMedia = (event) => setIs(event.matches);
    media.addEventListener("change", changedMedia);
    return () => media.removeEventListener("change", changedMedia);
  }, []);
  return is ? narrow : wide;
}

function Words({ query, path }) {
  const field = useRef(null);
  const search = (event) => {
    event.preventDefault();
    go(path + changed(query, { q: field.current.value.trim() || null }), true);
  };
  return html`<form role="search" class="words" onSubmit=${search}>
    <input ref=${field} type="search" name="q" aria-label="words of the caption" placeholder="words of the caption" defaultValue=${query.get("q") || ""} />
    <button>Find</button>
  </form>`;
}

function Sort({ query, path, names, usual }) {
  const asked = query.get("sort") || "";
  const name = asked.replace(/^-/, "");
  const set = (value, backwards) => go(path + changed(query, { sort: value ? (backwards ? `-${value}` : value) : null }), true);
  return html`<div class="sort">
    <label>Order
      <select value=${name} onChange=${(event) => set(event.currentTarget.value, asked.startsWith("-"))}>
        <option value="">${usual}</option>
        ${names.map(([value, title]) => html`<option value=${value}>${title}</option>`)}
      </select>
    </label>
    <button disabled=${!name} aria-label="turn the order round" onClick=${() => set(name, !asked.startsWith("-"))}>${asked.startsWith("-") ? "↓" : "↑"}</button>
  </div>`;
}

function List({ title, what, query, path, rows, sorts, usual, children, other }) {
  return html`
    <div class="list-head">
      <h1>${title} <span class="total" role="status">${rows.total === null ? "" : count(rows.total)}</span></h1>
      <${Words} key=${query.get("q")} query=${query} path=${path} />
      <${Sort} query=${query} path=${path} names=${sorts} usual=${usual} />
      <a class="button" href=${other.href}>${other.name}</a>
    </div>
    <${ChosenFilters} query=${query} path=${path} />
    <${Failure} error=${rows.error} />
    <div class="with-filters">
      <${Filters} query=${query} path=${path} />
      ${rows.total === 0 ? html`<p class="empty">No ${what} fits. Take out a filter.</p>` : children}
    </div>
  `;
}

export function Captions({ query }) {
  const rows = useRows(`/api/captions?${query}`);
  const height = useHeight(58, 118);
  const words = query.get("q");
  const draw = (row) => html`
    <span role="cell"><${Level} level=${row.level} /></span>
    <span role="cell" class="time">${span(row)}</span>
    <span role="cell" class="number">${(row.end - row.start).toFixed(1)} s</span>
    <span role="cell" class="text"><a href=${videoAddress(row)}><${Marked} text=${row.text} words=${words} /></a> <${Badges} row=${row} /></span>
    <span role="cell" class="video"><a href=${`/video/${row.video_id}`}>${row.title}</a></span>
  `;
  const sorts = [["start", "start"], ["duration", "length"], ["words", "number of words"], ["level", "level"], ["caption_id", "caption number"], ["video", "video"]];
  return html`<${List} title="Captions" what="caption" query=${query} path="/captions" rows=${rows} sorts=${sorts}
    usual=${words ? "best first" : "as in the corpus"} other=${{ name: "show as videos", href: `/videos${changed(query, { sort: null })}` }}>
    <${Rows} key=${String(query)} rows=${rows} height=${height} draw=${draw} label="captions" columns=${["level", "time", "length", "caption", "video"]} />
  <//>`;
}

export function Videos({ query }) {
  const rows = useRows(`/api/videos?${query}`);
  const height = useHeight(46, 96);
  const draw = (row) => html`
    <span role="cell" class="text"><a href=${`/video/${row.video_id}`}>${row.title}</a> <${Badges} row=${row} /></span>
    <span role="cell" class="time">${clock(row.duration)}</span>
    <span role="cell" class="number"><a href=${`/captions${changed(query, { video: row.video_id, sort: null })}`} aria-label=${`${row.captions} captions of ${row.title}`}>${count(row.captions)}</a></span>
    <span role="cell"><span class=${`badge disk-${row.disk.replace(/ /g, "-")}`}>${row.disk}</span></span>
    <span role="cell" class="video">${[row.procedure_type, row.specialty].filter(Boolean).join(", ")}</span>
  `;
  const sorts = [["title", "title"], ["duration", "length"], ["captions", "number of captions"], ["video_id", "video number"]];
  return html`<${List} title="Videos" what="video" query=${query} path="/videos" rows=${rows} sorts=${sorts}
    usual="as in the corpus" other=${{ name: "show as captions", href: `/captions${changed(query, { sort: null })}` }}>
    <div class="of-videos"><${Rows} key=${String(query)} rows=${rows} height=${height} draw=${draw} label="videos" columns=${["title", "length", "captions", "on disk", "procedure"]} /></div>
  <//>`;
}
