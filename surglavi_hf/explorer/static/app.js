// The frame around all pages, and which address shows which page.
import { html, render, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { Failure, changed, go, isTyping, useAddress, useAnswer } from "./common.js";
import { Overview } from "./overview.js";
import { Captions, Videos } from "./lists.js";
import { Search } from "./search.js";
import { Video } from "./video.js";
import { Benchmark, BenchmarkVideo } from "./benchmark.js";
import { Reviews } from "./reviews.js";

// Add a page here, and its address to PAGES in app.py.
const PAGES = [
  { path: /^\/$/, page: Overview, name: "Overview", shown: (about) => about.corpus },
  { path: /^\/captions$/, page: Captions, name: "Captions", shown: (about) => about.corpus },
  { path: /^\/videos$/, page: Videos, name: "Videos", shown: (about) => about.corpus },
  { path: /^\/search$/, page: Search, name: "Search", shown: (about) => about.corpus },
  { path: /^\/video\/(\d+)$/, page: Video, name: "Video", shown: () => false },
  { path: /^\/benchmark$/, page: Benchmark, name: "Benchmark", shown: (about) => about.benchmark },
  { path: /^\/benchmark\/([^/]+)$/, page: BenchmarkVideo, name: "Video of the benchmark", shown: () => false },
  { path: /^\/reviews$/, page: Reviews, name: "Reviews", shown: (about) => about.corpus && !about.public },
];

const KEYS = [
  ["Space", "play, pause"],
  ["← →", "a second back, on; with Shift a frame"],
  ["p n", "interval before, after"],
  ["1 2 3", "phases, steps, tasks: which intervals p and n go through"],
  ["[ ]", "slower, faster (0.25 to 4)"],
  ["l", "loop the interval"],
  ["− +", "zoom the lanes"],
  ["e", "correct the caption (with --review)"],
  ["/", "search"],
  ["?", "this list"],
];

const CHOOSING = new Set(["/", "/captions", "/videos", "/search"]);

function Keys({ dialog }) {
  return html`<dialog ref=${dialog} aria-labelledby="keys-title" class="keys">
    <h2 id="keys-title">Keys</h2>
    <dl>${KEYS.map(([key, what]) => html`<div><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}</dl>
    <form method="dialog"><button class="primary" autofocus>Close</button></form>
  </dialog>`;
}

function Theme() {
  const dark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const [isDark, setDark] = useState(dark);
  const turn = () => {
    const next = isDark ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    localStorage.setItem("surglavi.theme", next);
    setDark(!isDark);
    dispatchEvent(new Event("surglavi:theme"));
  };
  return html`<button class="quiet" onClick=${turn} aria-label=${isDark ? "light colours" : "dark colours"}>${isDark ? "☀" : "☾"}</button>`;
}

function App() {
  const address = useAddress();
  const [about, error] = useAnswer("/api/about");
  const dialog = useRef(null);
  const main = useRef(null);

  useEffect(() => {
    const clicked = (event) => {
      const link = event.target.closest && event.target.closest("a[href^='/']");
      if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || link.target) return;
      event.preventDefault();
      go(link.getAttribute("href"));
      if (main.current) main.current.focus({ preventScroll: true });
    };
    const pressed = (event) => {
      if (isTyping(event)) return;
      if (event.key === "?") dialog.current.showModal();
      if (event.key === "/") {
        const field = document.querySelector("input[type=search]");
        event.preventDefault();
        if (field) field.focus();
        else go("/search");
      }
    };
    addEventListener("click", clicked);
    addEventListener("keydown", pressed);
    return () => {
      removeEventListener("click", clicked);
      removeEventListener("keydown", pressed);
    };
  }, []);

  const found = PAGES.map((one) => ({ ...one, match: address.path.match(one.path) })).find((one) => one.match);
  useEffect(() => {
    if (about) document.title = `${found ? found.name : "Nothing here"} – ${about.title}`;
  }, [about, address.path]);
  if (error) return html`<main class="alone"><h1>SurgLaVi explorer</h1><${Failure} error=${error} /></main>`;
  if (!about) return html`<main class="alone"><p role="status">Loading…</p></main>`;
  if (address.path === "/" && !about.corpus) {
    go("/benchmark", true);
    return null;
  }
  return html`
    <a class="skip" href="#main">Skip to the page</a>
    <header class="top">
      <a class="brand" href="/"><img src="/static/icon.svg" alt="" width="26" height="26" /> <span>${about.title}</span></a>
      <nav aria-label="Pages">
        ${PAGES.filter((one) => one.shown(about)).map((one) => {
          const path = one.path.source.replace(/[\\^$]/g, "");
          // What was chosen stays chosen on the other pages of the corpus.
          const kept = CHOOSING.has(address.path) && CHOOSING.has(path) ? changed(address.query, { sort: null, like: null }) : "";
          return html`<a href=${path + kept} aria-current=${found && found.name === one.name ? "page" : undefined}>${one.name}</a>`;
        })}
      </nav>
      <div class="side">
        ${about.model && html`<span class="chip" title="the model that answers">${about.model}</span>`}
        <button class="quiet" onClick=${() => dialog.current.showModal()} aria-label="keys">?</button>
        <${Theme} />
      </div>
    </header>
    <main id="main" ref=${main} tabindex="-1">
      ${found
        ? html`<${found.page} key=${found.match[0]} about=${about} query=${address.query} name=${found.match[1]} />`
        : html`<h1>There is nothing here</h1><p><a href="/">To the overview</a></p>`}
    </main>
    <${Keys} dialog=${dialog} />
  `;
}

render(html`<${App} />`, document.getElementById("app"));
