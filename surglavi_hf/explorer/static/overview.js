// What is here, as charts; a click on a bar filters everything, and the address keeps it.
import { html, useState } from "./vendor/htm-preact.js";
import { Failure, changed, count, go, hours, toggled, useAnswer } from "./common.js";

const FEW = 8;
const NOT_FACETS = new Set(["sort", "q", "video", "like", "offset", "limit"]);
const FILTER_VALUES = 30; // of a facet, before all are asked for

/** Chosen values, each with what takes it out again. */
export function ChosenFilters({ query, path }) {
  const chosen = [...query.entries()].filter(([name]) => name === "q" || name === "video" || !NOT_FACETS.has(name));
  if (!chosen.length) return null;
  return html`<ul class="chosen" aria-label="chosen">
    ${chosen.map(
      ([name, value]) => html`<li><a class="chip remove" href=${path + toggled(query, name, value)} aria-label=${`take out ${name} ${value}`}>
        ${name === "q" ? `“${value}”` : name === "video" ? `video ${value}` : `${name.replace(/_/g, " ")}: ${value}`} <span aria-hidden="true">×</span></a></li>`,
    )}
    <li><a class="chip" href=${path}>clear all</a></li>
  </ul>`;
}

function Chart({ facet, query }) {
  const [all, setAll] = useState(false);
  const chosen = query.getAll(facet.name);
  const most = Math.max(1, ...facet.values.map((one) => one.captions));
  const there = facet.values.filter((one) => one.captions || chosen.includes(one.value));
  const shown = all || !facet.many ? there : there.slice(0, FEW);
  if (!there.length) return null;
  return html`<section class="card chart">
    <h2>${facet.title}</h2>
    <ul class="bars">
      ${shown.map(
        ({ value, captions }) => html`<li>
          <button
            class=${`bar ${facet.name === "level" ? value : ""}`}
            aria-pressed=${chosen.includes(value) ? "true" : "false"}
            onClick=${() => go("/" + toggled(query, facet.name, value))}
          >
            <span class="label">${value}</span>
            <span class="track" aria-hidden="true"><span class="fill" style=${{ width: `${Math.max(0.6, (100 * captions) / most)}%` }}></span></span>
            <span class="number">${count(captions)}</span>
          </button>
        </li>`,
      )}
    </ul>
    ${there.length > shown.length || all
      ? html`<button class="link" onClick=${() => setAll(!all)}>${all ? "show fewer" : `show all ${count(there.length)}`}</button>`
      : null}
  </section>`;
}

function Tile({ name, value, of, href }) {
  const inside = html`<span class="value">${value}</span><span class="name">${name}</span>${of && html`<span class="of">${of}</span>`}`;
  return href ? html`<a class="tile" href=${href}>${inside}</a>` : html`<div class="tile">${inside}</div>`;
}

export function Overview({ about, query }) {
  const [found, error] = useAnswer(`/api/overview?${query}`);
  const [leftOut] = useAnswer("/api/left-out");
  const reasons = Object.entries(leftOut || {});
  if (!found) return html`<h1>${about.title}</h1><${Failure} error=${error} />${!error && html`<p role="status">Counting…</p>`}`;
  const filter = changed(query, { sort: null });
  const of = (part, all) => (part === all ? null : `of ${count(all)}`);
  return html`
    <h1>${about.title}</h1>
    <${Failure} error=${error} />
    <div class="tiles">
      <${Tile} name="captions" value=${count(found.captions)} of=${of(found.captions, found.all_captions)} href=${`/captions${filter}`} />
      <${Tile} name="videos" value=${count(found.videos)} of=${of(found.videos, found.all_videos)} href=${`/videos${filter}`} />
      <${Tile} name="hours of video" value=${hours(found.video_hours)}
        of=${found.videos_of_unknown_length ? `and ${count(found.videos_of_unknown_length)} of unknown length` : null} />
      <${Tile} name="hours of clips" value=${hours(found.clip_hours)} of="levels overlap" />
      <${Tile} name="videos on disk" value=${count(found.videos_on_disk)} of=${`of ${count(found.videos)}`} />
    </div>
    <${ChosenFilters} query=${query} path="/" />
    ${reasons.length > 0 && html`<p class="hint">${count(reasons.reduce((sum, [, number]) => sum + number, 0))} captions of the database cannot be used and are not here:
      ${" "}${reasons.map(([reason, number]) => `${count(number)} ${reason}`).join(", ")}. <code>surglavi check</code> lists them.</p>`}
    <p class="hint">Numbers are captions. Click a bar to choose it, and again to let it go.</p>
    <div class="charts">${found.facets.map((facet) => html`<${Chart} key=${facet.name} facet=${facet} query=${query} />`)}</div>
  `;
}

function FilterFacet({ facet, query, path }) {
  const [all, setAll] = useState(false);
  const chosen = query.getAll(facet.name);
  const there = facet.values.filter((one) => one.captions || chosen.includes(one.value));
  if (there.length < 2 && !chosen.length) return null;
  return html`<details class="facet" open=${chosen.length > 0 || facet.name === "level"}>
    <summary>${facet.title}${chosen.length ? html` <span class="badge">${chosen.length}</span>` : null}</summary>
    ${(all ? there : there.slice(0, FILTER_VALUES)).map(
      ({ value, captions }) => html`<label>
        <input type="checkbox" checked=${chosen.includes(value)} onChange=${() => go(path + toggled(query, facet.name, value), true)} />
        <span>${value}</span> <span class="number">${count(captions)}</span>
      </label>`,
    )}
    ${there.length > FILTER_VALUES && html`<button class="link" onClick=${() => setAll(!all)}>${all ? "show fewer" : `show all ${there.length}`}</button>`}
  </details>`;
}

/** The same choices beside a list. */
export function Filters({ query, path }) {
  const [found] = useAnswer(`/api/overview?${changed(query, { sort: null }).slice(1)}`);
  const wide = matchMedia("(min-width: 1000px)").matches;
  return html`<aside class="filters" aria-label="filters">
    <details open=${wide}>
      <summary>Filters</summary>
      ${found && found.facets.every((facet) => facet.values.filter((one) => one.captions).length < 2) && html`<p class="hint">These are all alike.</p>`}
      ${found && html`<p class="hint">Numbers are captions.</p>`}
      ${found && found.facets.map((facet) => html`<${FilterFacet} key=${facet.name} facet=${facet} query=${query} path=${path} />`)}
    </details>
  </aside>`;
}
