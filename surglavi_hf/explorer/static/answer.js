// What the model says: a ribbon of classes beside the captions, and the likeness of a sentence along the video.
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { Failure, LEVELS, changed, clock, colourOf, go, percent, post, usePolling } from "./common.js";

const MEASURES = { accuracy: "accuracy", macro_f1: "macro F1", edit: "edit score", segment_f1_at_50: "segment F1@50" };

function Protocol({ protocol }) {
  return html`<details class="protocol"><summary>How this was computed</summary>
    <dl>${Object.entries(protocol).map(([name, value]) => html`<div><dt>${name.replace(/_/g, " ")}</dt><dd>${String(value)}</dd></div>`)}</dl>
  </details>`;
}

function Curve({ found, title, duration, player }) {
  const box = useRef(null);
  useEffect(() => {
    // A canvas wants colours as they are now, not what they follow from.
    const colour = (name) => {
      box.current.style.color = `var(${name})`;
      return getComputedStyle(box.current).color;
    };
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
    const width = () => Math.max(200, box.current.clientWidth);
    let follow = () => {};
    const plotted = new window.uPlot(
      {
        width: width(), height: 150, legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false } },
        hooks: { draw: [() => follow()] }, // its places are known from then on
        scales: { x: { time: false, range: () => player.view || [0, duration] } },
        axes: [{ ...axis, values: (_, times) => times.map((time) => clock(time)) }, { ...axis, size: 58 }],
        series: [{}, { stroke: colour("--accent"), width: 1.5, fill: colour("--accent").replace("rgb(", "rgba(").replace(")", ", 0.13)"), spanGaps: false }],
      },
      [found.times, found.values],
      box.current,
    );
    const clicked = (event) => {
      const at = plotted.posToVal(event.offsetX, "x");
      if (Number.isFinite(at)) player.seek(at);
    };
    plotted.over.addEventListener("click", clicked);
    const line = document.createElement("div");
    line.className = "curve-head";
    plotted.over.append(line);
    let shown = null;
    follow = () => {
      if (player.view && String(player.view) !== shown) {
        shown = String(player.view);
        plotted.setScale("x", { min: player.view[0], max: player.view[1] });
      }
      line.style.transform = `translateX(${plotted.valToPos(player.time, "x")}px)`;
    };
    const end = player.listen(follow);
    follow();
    const resized = () => plotted.setSize({ width: width(), height: 150 });
    addEventListener("resize", resized);
    return () => {
      end();
      removeEventListener("resize", resized);
      plotted.destroy();
    };
  }, [found]);
  const best = found.values.reduce((most, value, at) => (value !== null && (most < 0 || value > found.values[most]) ? at : most), -1);
  return html`<figure class="curve">
    <figcaption>${title}${best >= 0 && html` · most alike at <button class="link" onClick=${() => player.seek(found.times[best])}>${clock(found.times[best])}</button>`}</figcaption>
    <div class="plot" ref=${box} role="img" aria-label=${`likeness along the video${best >= 0 ? `, highest at ${clock(found.times[best])}` : ""}`}></div>
    <${Protocol} protocol=${found.protocol} />
  </figure>`;
}

export function Answer({ video, captions, state, about, player, duration, like, onLanes, query }) {
  const [now, setNow] = useState(state);
  const [ribbon, setRibbon] = useState(null);
  const [curve, setCurve] = useState(null);
  const [error, setError] = useState(null);
  const [level, setLevel] = useState(LEVELS.includes(query.get("ribbon")) ? query.get("ribbon") : LEVELS.find((one) => captions.filter((row) => row.level === one).length > 1) || "phase");
  const [smoothing, setSmoothing] = useState(Number(query.get("smooth")) || 0);
  const texts = [...new Set(captions.filter((row) => row.level === level && !row.state.includes("deleted")).map((row) => row.text.trim()))];
  const [prompts, setPrompts] = useState(query.get("prompts"));
  const sentence = useRef(null);
  const base = `/api/video/${video.video_id}`;
  const busy = usePolling(now.job, `${base}/state`, setNow, setError);

  const attempt = async (does) => {
    setError(null);
    try {
      await does();
    } catch (problem) {
      setError(problem);
    }
  };
  const watch = (stop) => attempt(async () => {
    const job = await post(`${base}/watch`, stop ? { stop: true } : {});
    setNow({ ...now, job });
  });
  const show = (event) => {
    if (event) event.preventDefault();
    go(location.pathname + changed(new URLSearchParams(location.search), { ribbon: level, prompts: prompts, smooth: smoothing || null }), true);
    return attempt(async () => {
      const found = await post(`${base}/ribbon`, { prompts: prompts === null ? "" : prompts, level, smoothing });
      setRibbon(found);
      const label = (at) => found.classes[at].name;
      onLanes([
        { name: "captions", kind: "ribbon", still: true, items: found.labels.map((one, at) => ({ id: `l${at}`, ...one, label: label(one.class), colour: colourOf(one.class) })) },
        { name: "model", kind: "ribbon", items: found.segments.map((one, at) => ({ id: `m${at}`, start: one.start, end: one.end, share: one.confidence, colour: colourOf(one.class), label: `${label(one.class)}${one.confidence === null ? ` (${one.score.toFixed(2)})` : ` ${Math.round(100 * one.confidence)} %`}` })) },
        { name: "differ", kind: "differ", height: 14, items: found.disagreements.map((one, at) => ({ id: `d${at}`, ...one, label: "model and captions differ" })) },
      ]);
    });
  };
  const along = (body, title) => attempt(async () => setCurve({ title, ...(await post(`${base}/curve`, body)) }));
  const typed = (event) => {
    event.preventDefault();
    const text = sentence.current.value.trim();
    if (!text) return;
    go(location.pathname + changed(new URLSearchParams(location.search), { sentence: text }), true);
    along({ text }, `“${text}”`);
  };
  useEffect(() => {
    if (query.get("ribbon") && (now.windows === "known" || now.clips)) show();
    if (query.get("sentence") && (now.windows === "known" || now.clips)) along({ text: query.get("sentence") }, `“${query.get("sentence")}”`);
  }, []);
  useEffect(() => {
    if (like) along({ like: like.caption_id }, `clips like: ${like.text}`);
  }, [like]);
  const ready = now.windows === "known" || now.clips > 0;
  return html`<section class="answer" aria-label="the model's answer">
    <h2>${about.model ? `What “${about.model}” says` : "What the clips' embeddings say"}</h2>
    <p class="hint">
      ${now.windows === "known" ? "The model has looked at every second. " : ""}
      ${now.windows !== "known" && now.clips ? `The embeddings of ${now.clips} clips answer. ` : ""}
      ${now.windows === "computable" && !busy ? html`<button onClick=${() => watch(false)}>Have the model look at every second</button> ` : null}
      ${busy ? html`<span role="status"><progress max="1" value=${now.job.share}></progress> ${Math.round(100 * now.job.share)} % looked at</span> <button onClick=${() => watch(true)}>Stop</button>` : null}
      ${now.job && now.job.state === "stopped" ? "Stopped; what was done is kept. " : null}
      ${now.job && now.job.state === "failed" ? html`<span class="failure">${now.job.message}</span>` : null}
    </p>
    <${Failure} error=${error} />
    <div class="ask">
      <form onSubmit=${show}>
        <label for="prompts">Classes, one a line: a sentence, or <code>name: a sentence | another</code></label>
        <textarea id="prompts" rows=${Math.min(8, Math.max(3, texts.length))} value=${prompts === null ? texts.join("\n") : prompts} onInput=${(event) => setPrompts(event.currentTarget.value)}></textarea>
        <div class="row-of">
          <label>labels are captions of level <select value=${level} onChange=${(event) => { setLevel(event.currentTarget.value); setPrompts(null); }}>${LEVELS.map((one) => html`<option value=${one}>${one}</option>`)}</select></label>
          <label>smooth over <input type="number" min="0" max="600" step="1" value=${smoothing} onInput=${(event) => setSmoothing(Number(event.currentTarget.value) || 0)} /> s</label>
          <button class="primary" disabled=${!ready}>Show the ribbon</button>
        </div>
      </form>
      <form onSubmit=${typed}>
        <label for="sentence">How alike is the video to a sentence?</label>
        <div class="row-of"><input id="sentence" ref=${sentence} type="text" defaultValue=${query.get("sentence") || ""} placeholder="the surgeon closes the wound" /> <button disabled=${!ready}>Show the curve</button></div>
      </form>
    </div>
    ${curve && html`<${Curve} key=${curve.title} found=${curve} title=${curve.title} duration=${duration} player=${player} />`}
    ${ribbon && html`<div class="ribbon-about">
      <ul class="legend">${ribbon.classes.map((one, at) => html`<li><span class="swatch" style=${{ "--colour": colourOf(at) }}></span>${one.name}</li>`)}</ul>
      ${ribbon.metrics
        ? html`<table class="figures"><caption>This video, of ${ribbon.metrics.labelled_seconds} labelled seconds</caption><thead><tr>${Object.entries(MEASURES).filter(([key]) => key in ribbon.metrics).map(([, title]) => html`<th scope="col">${title}</th>`)}</tr></thead>
            <tbody><tr>${Object.keys(MEASURES).filter((key) => key in ribbon.metrics).map((key) => html`<td>${percent(ribbon.metrics[key])} %</td>`)}</tr></tbody></table>`
        : html`<p class="hint">No caption of level ${ribbon.level} is one of these classes, so nothing is measured.</p>`}
      <${Protocol} protocol=${ribbon.protocol} />
    </div>`}
  </section>`;
}
