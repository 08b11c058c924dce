// A benchmark and what models did on it: figures, confusion, a row a video, ribbons of two side by side.
import { html, useEffect, useMemo, useState } from "./vendor/htm-preact.js";
import { Failure, changed, clock, colourOf, count, go, percent, toggled, useAnswer } from "./common.js";
import { FrameElement, Player, SPEEDS, VideoElement } from "./player.js";
import { Lanes, Transport } from "./lanes.js";

const MOST = 2; // reports side by side
const TITLES = {
  accuracy_video_mean: "accuracy, videos", accuracy_all_frames: "accuracy, frames", macro_f1_video_mean: "macro F1, videos",
  macro_f1_all_frames: "macro F1, frames", mean_average_precision: "mAP", mean_average_precision_video_mean: "mAP, videos", edit_video_mean: "edit",
};

const MEASURES = { accuracy: "accuracy", macro_f1: "macro F1", mean_average_precision: "mAP" }; // of a video

function chosenOf(found, query) {
  const asked = query.getAll("report").filter((name) => found.reports.some((one) => one.name === name));
  return asked.length ? asked.slice(0, MOST) : found.reports.slice(0, 1).map((one) => one.name);
}

function Confusion({ report, classes }) {
  const rows = report.confusion;
  if (!rows) return null;
  const totals = rows.map((row) => row.reduce((sum, value) => sum + value, 0));
  return html`<figure class="confusion"><figcaption>Confusion: rows are labels, columns what was predicted, % of the label's frames</figcaption>
    <div class="wide"><table><thead><tr><td></td>${classes.map((name, at) => html`<th scope="col" title=${name}>${at + 1}</th>`)}</tr></thead>
    <tbody>${rows.map((row, at) => html`<tr><th scope="row">${at + 1} ${classes[at]}</th>${row.map((value, to) => {
      const share = totals[at] ? value / totals[at] : 0;
      return html`<td style=${{ "--share": share }} class=${to === at ? "right" : ""} title=${`${classes[at]} taken for ${classes[to]}: ${count(value)} frames`}>${share >= 0.005 ? Math.round(100 * share) : ""}</td>`;
    })}</tr>`)}</tbody></table></div></figure>`;
}

function Report({ name, classes }) {
  const [report, error] = useAnswer(`/api/report?name=${encodeURIComponent(name)}`);
  if (!report) return html`<${Failure} error=${error} />`;
  return html`<section class="card report" aria-label=${report.model}>
    <h2>${report.model} <small>${report.name}</small></h2>
    <${Failure} error=${error} />
    <${Confusion} report=${report} classes=${classes} />
    <details><summary>All that was measured</summary><div class="wide"><table class="figures"><thead><tr>${report.measures.header.map((cell) => html`<th scope="col">${cell}</th>`)}</tr></thead>
      <tbody>${report.measures.rows.map((row) => html`<tr>${row.map((cell) => html`<td>${cell}</td>`)}</tr>`)}</tbody></table></div></details>
    <details><summary>Protocol</summary><div class="wide"><table class="figures"><thead><tr><th scope="col">choice</th><th scope="col">value</th></tr></thead><tbody>${report.protocol.map(([choice, value]) => html`<tr><th scope="row">${choice}</th><td>${value}</td></tr>`)}</tbody></table></div></details>
  </section>`;
}

function PerVideo({ found, reports, query }) {
  const one = useAnswer(reports[0] ? `/api/report?name=${encodeURIComponent(reports[0])}` : null)[0];
  const two = useAnswer(reports[1] ? `/api/report?name=${encodeURIComponent(reports[1])}` : null)[0];
  const shown = [one, two].filter(Boolean);
  const alike = shown.length > 1 && shown[0].model === shown[1].model;
  const keys = Object.keys(MEASURES).filter((key) => shown.some((report) => report.per_video.some((row) => row[key] !== undefined)));
  return html`<div class="wide"><table class="figures"><caption>Videos</caption>
    <thead><tr><th scope="col">video</th><th scope="col">length</th><th scope="col">labelled frames</th>${shown.map((report) => keys.map((key) => html`<th scope="col">${shown.length > 1 ? `${alike ? report.name : report.model}: ` : ""}${MEASURES[key]}, %</th>`))}</tr></thead>
    <tbody>${found.videos.map((video) => html`<tr>
      <th scope="row"><a href=${`/benchmark/${encodeURIComponent(video.name)}${changed(query, { report: reports })}`}>${video.name}</a></th>
      <td>${clock(video.seconds)}</td><td>${count(video.frames)}</td>
      ${shown.map((report) => keys.map((key) => {
        const row = report.per_video.find((each) => each.video === video.name);
        return html`<td>${row ? percent(row[key]) : "–"}</td>`;
      }))}
    </tr>`)}</tbody></table></div>`;
}

export function Benchmark({ query }) {
  const [found, error] = useAnswer("/api/benchmark");
  if (!found) return html`<h1>Benchmark</h1><${Failure} error=${error} />`;
  const reports = chosenOf(found, query);
  const keys = Object.keys(TITLES).filter((key) => found.reports.some((one) => one.metrics[key] !== undefined && one.metrics[key] !== null));
  const pick = (name) => {
    const next = reports.includes(name) ? reports.filter((one) => one !== name) : [...reports, name].slice(-MOST);
    go("/benchmark" + changed(query, { report: next }), true);
  };
  return html`
    <h1>${found.title}</h1>
    <p class="facts">${found.classes.length} classes · ${count(found.videos.length)} videos · ${found.kind.replace("_", " ")}</p>
    ${found.reports.length === 0
      ? html`<p class="empty">No reports of it were found. <code>surglavi evaluate</code> writes them to evaluation/; name other folders with --reports.</p>`
      : html`<div class="wide"><table class="figures"><caption>Reports; up to two are shown side by side</caption>
        <thead><tr><th scope="col">show</th><th scope="col">model</th><th scope="col">task</th>${keys.map((key) => html`<th scope="col">${TITLES[key]}, %</th>`)}<th scope="col">file</th></tr></thead>
        <tbody>${found.reports.map((one) => html`<tr>
          <td><input type="checkbox" checked=${reports.includes(one.name)} aria-label=${`show ${one.name}`} onChange=${() => pick(one.name)} /></td>
          <th scope="row">${one.model}</th><td>${one.task}</td>
          ${keys.map((key) => html`<td>${percent(one.metrics[key])}${one.intervals[key] ? html` <small>[${percent(one.intervals[key][0])}, ${percent(one.intervals[key][1])}]</small>` : null}</td>`)}
          <td><code>${one.name}</code></td></tr>`)}</tbody></table></div>`}
    <${PerVideo} key=${reports.join()} found=${found} reports=${reports} query=${query} />
    <div class=${`side-by-side ${reports.length < 2 ? "one" : ""}`}>${reports.map((name) => html`<${Report} key=${name} name=${name} classes=${found.classes} />`)}</div>
  `;
}

export function BenchmarkVideo({ query, name }) {
  const video = decodeURIComponent(name);
  const [all] = useAnswer("/api/benchmark");
  const reports = all ? chosenOf(all, query) : null;
  const path = reports ? `/api/benchmark/${encodeURIComponent(video)}?${new URLSearchParams(reports.map((one) => ["report", one]))}` : null;
  const [found, error] = useAnswer(path);
  if (!found) return html`<h1>${video}</h1><${Failure} error=${error} />`;
  return html`<${BenchmarkPage} key=${video} all=${all} found=${found} reports=${reports} query=${query} error=${error} />`;
}

function BenchmarkPage({ all, found, reports, query, error }) {
  const player = useMemo(() => new Player(), []);
  const duration = Math.max(1, (found.seconds || 0) + found.step);
  player.duration = Math.max(player.duration, duration);
  const [chosen, setChosen] = useState(null);
  const [loops, setLoops] = useState(false);
  useEffect(() => {
    player.seek(Number(query.get("t")) || 0);
    return () => player.close();
  }, []);
  const alike = new Set(found.reports.map((report) => report.model)).size < found.reports.length;
  const nameOf = (report) => (alike ? report.name : report.model);
  const lanes = useMemo(() => {
    const items = (prefix, segments) => segments.map((one, at) => ({ id: `${prefix}${at}`, start: one.start, end: one.end, label: found.classes[one.class], colour: colourOf(one.class) }));
    const wrong = (at, segments) => segments.map((one, place) => ({ id: `w${at}-${place}`, start: one.start, end: one.end, label: "wrong" }));
    return [
      { name: "labels", kind: "ribbon", items: items("l", found.labels) },
      ...found.reports.flatMap((report, at) => [
        { name: nameOf(report), kind: "ribbon", items: items(`r${at}-`, report.segments) },
        { name: found.reports.length > 1 ? `wrong ${at + 1}` : "wrong", kind: "differ", height: 14, still: true, items: wrong(at, report.wrong) },
      ]),
    ];
  }, [found]);
  const choose = (one) => {
    setChosen(one.id);
    player.loop = loops ? [one.start, one.end] : null;
    player.seek(one.start);
    player.play(loops ? null : one.end);
  };
  const step = (by) => {
    const items = lanes[0].items;
    const at = items.findIndex((one) => one.start <= player.time && player.time < one.end);
    const next = items[at + by];
    if (next) choose(next);
  };
  const loop = () => {
    const one = lanes[0].items.find((each) => each.start <= player.time && player.time < each.end);
    player.loop = loops || !one ? null : [one.start, one.end];
    setLoops(!loops && Boolean(one));
  };
  const frame = (seconds) => `/benchmark-frame/${encodeURIComponent(found.name)}.jpg?t=${seconds}&height=480`;
  return html`
    <h1>${found.name}</h1>
    <p class="facts"><a href=${`/benchmark${changed(query, { t: null })}`}>${all.title}</a> · ${clock(found.seconds)} · ${count(found.frames)} labelled frames
      ${found.reports.map((report) => html` · ${nameOf(report)}: accuracy ${percent(report.accuracy)} %`)}</p>
    <${Failure} error=${error} />
    <div class="stage alone">
      ${found.video
        ? html`<div class="screen"><${VideoElement} player=${player} src=${`/benchmark-media/${encodeURIComponent(found.name)}`} label=${found.name} /></div>`
        : found.pictures
          ? html`<div class="screen"><${FrameElement} player=${player} address=${frame} label=${`frames of ${found.name}`} /></div>`
          : html`<div class="screen none"><p>There are no frames of this video here.</p></div>`}
    </div>
    <${Transport} player=${player} duration=${duration} fps=${25} speeds=${SPEEDS} onStep=${step} loops=${loops} onLoop=${loop} />
    <${Lanes} player=${player} duration=${duration} lanes=${lanes} chosen=${chosen} onChoose=${choose} />
    <ul class="legend">${found.classes.map((one, at) => html`<li><span class="swatch" style=${{ "--colour": colourOf(at) }}></span>${one}</li>`)}</ul>
    ${all.reports.length > 1 && html`<fieldset class="picker"><legend>Models side by side</legend>${all.reports.map((one) => html`<label><input type="checkbox" checked=${reports.includes(one.name)}
      onChange=${() => go(location.pathname + toggled(new URLSearchParams(changed(query, { report: reports }).slice(1)), "report", one.name), true)} /> ${one.model} <small>${one.name}</small></label>`)}</fieldset>`}
  `;
}
