// Clips found by words and by meaning, side by side, as strips of frames.
import { html, useEffect, useRef } from "./vendor/htm-preact.js";
import { Badges, Failure, Level, Marked, changed, clock, count, go, span, useAnswer, videoAddress } from "./common.js";
import { ChosenFilters, Filters } from "./overview.js";

export function Strip({ row, frames = 6 }) {
  if (!row.pictures) return null;
  return html`<img class="strip" loading="lazy" decoding="async" src=${`/strip/${row.caption_id}.jpg?n=${frames}&height=72`}
    alt=${`frames of the clip from ${clock(row.start)} to ${clock(row.end)}`} />`;
}

function Result({ row, words, like }) {
  return html`<li class="result">
    ${row.pictures && html`<a href=${videoAddress(row)} tabindex="-1" aria-hidden="true"><${Strip} row=${row} /></a>`}
    <p class="caption"><a href=${videoAddress(row)}><${Marked} text=${row.text} words=${words} /></a></p>
    <p class="where">
      <${Level} level=${row.level} /> <span class="time">${span(row)}</span>
      <a href=${`/video/${row.video_id}`}>${row.title}</a> <${Badges} row=${row} />
      ${row.score !== undefined && html`<span class="score" title="cosine similarity">${row.score.toFixed(3)}</span>`}
      ${like && html`<a class="like" href=${`/search${changed(like, { like: row.caption_id, q: null })}`}>clips like this</a>`}
    </p>
  </li>`;
}

function Results({ title, found, words, like }) {
  if (!found) return null;
  return html`<section class="results" aria-label=${title} id=${title === "By meaning" ? "meaning" : undefined}>
    <h2>${title}${found.total !== undefined ? html` <span class="total">${count(found.total)}</span>` : null}</h2>
    ${found.note && html`<p class="hint">${found.note}</p>`}
    ${found.rows.length
      ? html`<ol>${found.rows.map((row) => html`<${Result} key=${row.caption_id} row=${row} words=${words} like=${like} />`)}</ol>`
      : !found.note && html`<p class="empty">Nothing found.</p>`}
    ${found.total > found.rows.length && words
      ? html`<p><a href=${`/captions?${new URLSearchParams({ q: words })}`}>all ${count(found.total)} in a list</a></p>`
      : null}
  </section>`;
}

export function Search({ about, query }) {
  const field = useRef(null);
  const text = query.get("q") || "";
  const like = query.get("like");
  const [found, error] = useAnswer(text || like ? `/api/search?${query}` : null);
  useEffect(() => field.current && !text && !like && field.current.focus(), []);
  const search = (event) => {
    event.preventDefault();
    go(`/search${changed(query, { q: field.current.value.trim() || null, like: null })}`);
  };
  const asked = text || like;
  return html`
    <h1>Search</h1>
    <form role="search" class="words big" onSubmit=${search}>
      <input ref=${field} key=${text} type="search" name="q" aria-label="words, or a sentence" placeholder='words, "a phrase", begin*, or a sentence' defaultValue=${text} />
      <button class="primary">Search</button>
    </form>
    <${ChosenFilters} query=${query} path="/search" />
    <${Failure} error=${error} />
    ${like && html`<p class="hint">Clips like that of caption ${like}.</p>`}
    <div class="with-filters">
      ${asked ? html`<${Filters} query=${query} path="/search" />` : null}
      ${asked
        ? found && html`${found.words && html`<p class="jump"><a href="#meaning">to what was found by meaning ↓</a></p>`}<div class=${`side-by-side ${found.words ? "" : "one"}`}>
            <${Results} title="By words" found=${found.words} words=${text} like=${about.index ? query : null} />
            <${Results} title="By meaning" found=${found.meaning} words="" like=${about.index ? query : null} />
          </div>`
        : html`<div class="empty"><p>Words find captions that have them all. Meaning finds clips that look like what you say${about.index ? "" : "; it needs --index"}.</p>
            <p>Try <a href="/search?q=dissect*+gallbladder">dissect* gallbladder</a> or <a href="/search?q=the+surgeon+closes+the+wound+with+sutures">the surgeon closes the wound with sutures</a>.</p></div>`}
    </div>
  `;
}
