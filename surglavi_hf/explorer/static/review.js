// Corrections: each is a line of the review log; nothing is lost where two people are at it.
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { Badges, Failure, LEVELS, clock, get, leaving, post, secondsOf } from "./common.js";

export function reviewer() {
  return localStorage.getItem("surglavi.reviewer") || "";
}

function Reviewer({ value, setValue }) {
  return html`<label>your name <input name="reviewer" required maxlength="100" value=${value} autocomplete="name"
    onInput=${(event) => { setValue(event.currentTarget.value); localStorage.setItem("surglavi.reviewer", event.currentTarget.value.trim()); }} /></label>`;
}

/** A time to type, to nudge by a frame, or to take from the player. */
function Time({ name, value, onValue, fps, player }) {
  const [text, setText] = useState(clock(value, 3));
  const [wrong, setWrong] = useState(false);
  const field = useRef(null);
  useEffect(() => field.current.setCustomValidity(wrong ? "a time such as 0:01:02.5 is expected" : ""), [wrong]);
  useEffect(() => {
    setText(clock(value, 3));
    setWrong(false);
  }, [value]);
  const typed = (event) => {
    const seconds = secondsOf(event.currentTarget.value);
    setText(event.currentTarget.value);
    setWrong(Number.isNaN(seconds));
  };
  const left = () => !wrong && Math.abs(secondsOf(text) - value) > 5e-4 && onValue(secondsOf(text));
  const nudge = (frames) => {
    const next = Math.max(0, Math.round((value + frames / fps) * 1000) / 1000);
    onValue(next);
    player.pause();
    player.seek(next);
  };
  return html`<div class="time-field">
    <label>${name} <input ref=${field} name=${name} value=${text} inputmode="decimal" aria-invalid=${wrong ? "true" : "false"} onInput=${typed} onBlur=${left} onKeyDown=${(event) => event.key === "Enter" && left()} /></label>
    <button type="button" onClick=${() => nudge(-1)} aria-label=${`${name} a frame earlier`}>−1</button>
    <button type="button" onClick=${() => nudge(1)} aria-label=${`${name} a frame later`}>+1</button>
    <button type="button" onClick=${() => onValue(Math.round(player.time * 1000) / 1000)} aria-label=${`${name} where the player is`}>here</button>
  </div>`;
}

function Fields({ draft, set, fps, player }) {
  return html`
    <div class="row-of"><label>level <select name="level" value=${draft.level} onChange=${(event) => set({ level: event.currentTarget.value })}>${LEVELS.map((one) => html`<option value=${one}>${one}</option>`)}</select></label>
      <label><input type="checkbox" name="surgical" checked=${draft.surgical} onChange=${(event) => set({ surgical: event.currentTarget.checked })} /> surgical</label>
      <label><input type="checkbox" name="descriptive" checked=${draft.descriptive} onChange=${(event) => set({ descriptive: event.currentTarget.checked })} /> descriptive</label></div>
    <${Time} name="start" value=${draft.start} onValue=${(start) => set({ start })} fps=${fps} player=${player} />
    <${Time} name="end" value=${draft.end} onValue=${(end) => set({ end })} fps=${fps} player=${player} />
    <label>caption <textarea name="caption" rows="3" maxlength="20000" value=${draft.caption ?? ""} onInput=${(event) => set({ caption: event.currentTarget.value })}></textarea></label>
    <label>what was said <textarea name="narration" rows="2" maxlength="20000" value=${draft.narration ?? ""} onInput=${(event) => set({ narration: event.currentTarget.value })}></textarea></label>
  `;
}

/** A caption as a review has it; an empty text is none. */
const fieldsOf = (draft) => ({
  level: draft.level, start_time: draft.start, end_time: draft.end,
  caption: draft.caption === "" ? null : draft.caption ?? null,
  raw_narration: draft.narration === "" ? null : draft.narration ?? null,
  is_surgical_content: draft.surgical, is_descriptive: draft.descriptive,
});

export function said(review) {
  const text = (values) => Object.entries(values).map(([name, value]) => `${name.replace(/_/g, " ")} ${name.endsWith("time") ? clock(value, 2) : value}`).join(", ");
  if (review.action === "change") return `${text(review.before)} → ${text(review.after)}`;
  return review.remark || "";
}

function History({ captionId, count }) {
  const [found, setFound] = useState(null);
  useEffect(() => { get(`/api/caption/${captionId}/reviews`).then(setFound).catch(() => setFound([])); }, [captionId, count]);
  if (!found || !found.length) return null;
  return html`<details class="history"><summary>${found.length} reviews</summary><ol>
    ${found.map((one) => html`<li><time datetime=${one.time}>${one.time.slice(0, 16).replace("T", " ")}</time> <b>${one.reviewer}</b> ${one.action} ${said(one)} ${one.remark && one.action === "change" ? html`<i>${one.remark}</i>` : null}</li>`)}
  </ol></details>`;
}

export function Editor({ row, draft, setDraft, fps, player, onDone, onCancel }) {
  const [name, setName] = useState(reviewer());
  const [remark, setRemark] = useState("");
  const [error, setError] = useState(null);
  const [follows, setFollows] = useState(row.follows); // what was seen when it was opened
  const heading = useRef(null);
  useEffect(() => heading.current && heading.current.focus(), [row.caption_id]);
  const dirty = remark !== "" || JSON.stringify(fieldsOf(draft)) !== JSON.stringify(fieldsOf(row));
  useEffect(() => {
    leaving.unsaved = () => dirty;
    return () => { leaving.unsaved = () => false; };
  }, [dirty]);
  const set = (values) => setDraft((before) => ({ ...before, ...values }));
  const send = async (action, after = {}) => {
    setError(null);
    if (!name.trim()) {
      setError(new Error("say your name first"));
      return;
    }
    if (action === "flag" && !remark.trim()) {
      setError(new Error("say in the remark what is wrong"));
      return;
    }
    try {
      await post("/api/reviews", { action, caption_id: row.caption_id, reviewer: name.trim(), after, remark, follows });
      onDone();
    } catch (problem) {
      setError(problem);
    }
  };
  const takeDown = async () => {
    if (!confirm(`Take caption ${row.caption_id} down? Its number goes to takedown.txt, and only editing that file takes it back.`)) return;
    try {
      await post("/api/takedown", { caption_id: row.caption_id });
      onDone();
    } catch (problem) {
      setError(problem);
    }
  };
  const latest = error && error.status === 409 && error.body && error.body.latest;
  const deleted = row.state.includes("deleted");
  return html`<form class="editor" aria-labelledby="editor-title" onKeyDown=${(event) => event.key === "Escape" && onCancel()}
    onSubmit=${(event) => { event.preventDefault(); send("change", fieldsOf(draft)); }}>
    <h2 id="editor-title" tabindex="-1" ref=${heading}>Caption ${row.caption_id} <${Badges} row=${row} /></h2>
    <${Fields} draft=${draft} set=${set} fps=${fps} player=${player} />
    <label>remark <input name="remark" maxlength="2000" value=${remark} onInput=${(event) => setRemark(event.currentTarget.value)} /></label>
    <${Reviewer} value=${name} setValue=${setName} />
    <${Failure} error=${latest ? null : error} />
    ${latest && html`<div class="failure" role="alert"><p>${latest.reviewer} was at this caption meanwhile: ${latest.action} ${said(latest)}. What you typed is still here.</p>
      <button type="button" onClick=${() => { setFollows(latest.id); setError(null); }}>I have seen it; let me send mine</button></div>`}
    <div class="row-of">
      <button class="primary" disabled=${deleted}>Save</button>
      <button type="button" onClick=${() => send("approve")} disabled=${deleted}>It is right</button>
      <button type="button" onClick=${() => send("flag")} disabled=${deleted} title="say what is wrong in the remark">Flag</button>
      ${deleted ? html`<button type="button" onClick=${() => send("restore")}>Restore</button>` : html`<button type="button" class="danger" onClick=${() => send("delete")}>Delete</button>`}
      <button type="button" class="danger" onClick=${takeDown} disabled=${row.taken_down}>Take down</button>
      <button type="button" onClick=${onCancel}>Close</button>
    </div>
    <p class="hint">Drag the edges of the interval below, or nudge by a frame. The database is not changed; surglavi review apply makes a new one.</p>
    <${History} captionId=${row.caption_id} count=${row.follows} />
  </form>`;
}

export function AddCaption({ video, player, level, onDone, onCancel }) {
  const start = Math.round(player.time * 1000) / 1000;
  const [draft, setDraft] = useState({ level, start, end: Math.min(start + 10, Math.max(video.duration || Infinity, start + 1)), caption: "", narration: "", surgical: true, descriptive: true });
  const [name, setName] = useState(reviewer());
  const [error, setError] = useState(null);
  const send = async (event) => {
    event.preventDefault();
    try {
      onDone(await post("/api/reviews", { action: "add", video_id: video.video_id, reviewer: name.trim(), after: fieldsOf(draft) }));
    } catch (problem) {
      setError(problem);
    }
  };
  return html`<form class="editor" aria-label="a new caption" onSubmit=${send}>
    <h2>A new caption</h2>
    <${Fields} draft=${draft} set=${(values) => setDraft({ ...draft, ...values })} fps=${video.fps || 25} player=${player} />
    <${Reviewer} value=${name} setValue=${setName} />
    <${Failure} error=${error} />
    <div class="row-of"><button class="primary">Add</button> <button type="button" onClick=${onCancel}>Close</button></div>
  </form>`;
}

export function TakeDownVideo({ video, onDone }) {
  const dialog = useRef(null);
  const [error, setError] = useState(null);
  if (video.taken_down) return html`<span class="hint">This video is on the takedown list.</span>`;
  const take = async () => {
    try {
      await post("/api/takedown", { video_id: video.video_id });
      dialog.current.close();
      onDone();
    } catch (problem) {
      setError(problem);
    }
  };
  return html`<button class="danger" onClick=${() => dialog.current.showModal()}>Take this video down</button>
    <dialog ref=${dialog} aria-labelledby="takedown-title"><h2 id="takedown-title">Take this video down?</h2>
      <p>Its name goes to takedown.txt, which surglavi push-dataset --takedown reads. The page shows it no longer. Only editing that file takes it back.</p>
      <${Failure} error=${error} />
      <div class="row-of"><button class="danger" onClick=${take}>Take it down</button> <button onClick=${() => dialog.current.close()}>Leave it</button></div>
    </dialog>`;
}
