// One video: it plays over its phases, steps and tasks; what is said and written follows.
import { html, useEffect, useMemo, useRef, useState } from "./vendor/htm-preact.js";
import { Badges, Failure, LEVELS, Level, changed, clock, get, go, isTyping, mayLeave, post, span, useAnswer, usePolling } from "./common.js";
import { FrameElement, Player, SPEEDS, VideoElement } from "./player.js";
import { Lanes, Transport } from "./lanes.js";
import { Answer } from "./answer.js";
import { AddCaption, Editor, TakeDownVideo } from "./review.js";

const LONGEST_S = 1e6; // whatever a caption says

function lengthOf(found) {
  const last = Math.min(LONGEST_S, Math.max(1, ...found.captions.map((row) => row.end)));
  return found.video.duration ? Math.max(found.video.duration, Math.min(last, 1.2 * found.video.duration)) : last;
}

/** Captions on screen at a time, the shortest of each level first. */
function current(captions, time) {
  const there = captions.filter((row) => row.start <= time && time < row.end);
  return LEVELS.map((level) => there.filter((row) => row.level === level).sort((a, b) => a.end - a.start - (b.end - b.start))).flat();
}

/** Phases, steps and tasks, one of them as it is being corrected, and what was said with the finest. */
function lanesOf(rows, editing) {
  const drawn = editing ? rows.map((row) => (row.caption_id === editing.caption_id ? { ...row, ...editing } : row)) : rows;
  const itemsOf = (level) => drawn.filter((row) => row.level === level).map((row) => ({
    id: row.caption_id, start: row.start, end: row.end, label: row.text,
    class: [row.level, row.taken_down ? "gone" : "", ...row.state].join(" "),
  }));
  const lanes = LEVELS.map((level) => ({ name: `${level}s`, kind: level, items: itemsOf(level) }));
  const finest = [...LEVELS].reverse().find((level) => drawn.some((row) => row.level === level && row.narration));
  const said = drawn.filter((row) => row.level === finest && row.narration && !row.state.includes("deleted"));
  if (said.length) lanes.push({ name: "said", kind: "said", still: true, items: said.map((row) => ({ id: `s${row.caption_id}`, start: row.start, end: row.end, label: row.narration })) });
  return lanes;
}

function Media({ found, player, again }) {
  const { media, video } = found;
  const [state, setState] = useState(media);
  const [error, setError] = useState(null);
  useEffect(() => setState(media), [media]);
  const busy = usePolling(state.job, `/api/video/${video.video_id}/media`, setState, setError);
  const make = async () => {
    try {
      const job = await post(`/api/video/${video.video_id}/copy`, {});
      setState({ ...state, job });
    } catch (problem) {
      setError(problem);
    }
  };
  const frame = (seconds) => `/frame/${video.video_id}.jpg?t=${seconds}&height=480`;
  const why = state.why && html`<p class="why">${state.why}</p>`;
  if (state.kind === "video" || state.kind === "copy")
    return html`<div class="screen"><${VideoElement} key=${state.kind} player=${player} src=${`/media/${video.video_id}?${state.kind}`} label=${`video ${video.title}`} onFailure=${() => setError(new Error("this browser cannot play the file, or a part of it"))} /></div>${why}<${Failure} error=${error} />`;
  if (state.kind === "frames" || state.kind === "to copy")
    return html`<div class="screen"><${FrameElement} player=${player} address=${frame} label=${`frames of ${video.title}`} /></div>
      ${state.kind === "frames" ? why : html`<p class="why">${state.why}: its frames are shown.
        ${busy
          ? html` <span role="status">${state.job.state === "waiting" ? "Another copy is made first" : "Making a copy that plays"}: <progress max="1" value=${state.job.share}></progress> ${Math.round(100 * state.job.share)} %</span>`
          : html` <button onClick=${make}>Make a small copy that plays</button>`}
        ${state.job && state.job.state === "failed" && html` <span class="failure">${state.job.message}</span>`}</p>`}
      <${Failure} error=${error} />`;
  return html`<div class="screen none"><p>This video is not shown here: ${state.why}.</p><${Elsewhere} video=${video} player=${player} /></div>`;
}

/** Where else it can be watched, from the second that is shown. */
function Elsewhere({ video, player }) {
  const link = useRef(null);
  const at = () => `${video.youtube}?t=${Math.floor(player.time)}`;
  useEffect(() => player.listen(() => link.current && (link.current.href = at())), []);
  if (!video.youtube || video.taken_down) return null;
  return html`<a ref=${link} href=${at()} target="_blank" rel="noreferrer noopener">on YouTube, from this second ↗</a>`;
}

function Now({ captions, player, about, onEdit, onPlay, onLike }) {
  const [rows, setRows] = useState([]);
  useEffect(() => {
    let last = "";
    const follow = () => {
      const there = current(captions, player.time);
      const key = there.map((row) => `${row.caption_id}:${row.follows}`).join();
      if (key !== last) setRows(there);
      last = key;
    };
    follow();
    return player.listen(follow);
  }, [captions]);
  return html`<section class="now" aria-label="captions at this moment" aria-live="off">
    ${rows.length === 0 && html`<p class="empty">No caption at this moment.</p>`}
    ${rows.map((row) => html`<article class=${`caption-card ${row.level}`} key=${row.caption_id}>
      <header><${Level} level=${row.level} /> <span class="time">${span(row)}</span> <${Badges} row=${row} /></header>
      <p class="text">${row.text}</p>
      ${row.narration && row.narration !== row.text && html`<p class="narration"><span class="said">said</span> ${row.narration}</p>`}
      <footer>
        <button class="link" onClick=${() => onPlay(row)}>play it</button>
        ${about.index && html`<a class="link" href=${`/search?like=${row.caption_id}`}>clips like this</a>`}
        ${about.index && html`<button class="link" onClick=${() => onLike(row)}>likeness along the video</button>`}
        ${about.can_review && html`<button class="link" onClick=${() => onEdit(row)}>correct it</button>`}
      </footer>
    </article>`)}
  </section>`;
}

export function Video({ about, query, name }) {
  const [found, error, again] = useAnswer(`/api/video/${name}`);
  if (error) return html`<h1>Video ${name}</h1><${Failure} error=${error} />`;
  if (!found) return html`<p role="status">Loading…</p>`;
  return html`<${Page} key=${name} about=${about} query=${query} found=${found} again=${again} />`;
}

function Page({ about, query, found, again }) {
  const { video, captions } = found;
  const player = useMemo(() => new Player(), []);
  const duration = lengthOf(found);
  player.duration = Math.max(player.duration, duration);
  const asked = captions.find((row) => String(row.caption_id) === query.get("caption"));
  const [level, setLevel] = useState(asked ? asked.level : LEVELS.find((one) => captions.some((row) => row.level === one)) || "phase");
  const [chosen, setChosen] = useState(asked ? asked.caption_id : null);
  const picked = useRef(chosen); // for keys, which may come before the page is drawn anew
  const pick = (id) => {
    picked.current = id;
    setChosen(id);
  };
  const [editing, setEditing] = useState(null); // a caption as it is being corrected
  const [adding, setAdding] = useState(false);
  const [loops, setLoops] = useState(false);
  const [answerLanes, setAnswerLanes] = useState([]);
  const [like, setLike] = useState(null);

  useEffect(() => {
    const start = query.get("t") !== null ? Number(query.get("t")) : asked ? asked.start : 0;
    player.seek(Number.isFinite(start) ? start : 0);
    return () => player.close();
  }, []);
  // What others changed meanwhile.
  useEffect(() => {
    if (!about.can_review) return undefined;
    const timer = setInterval(async () => {
      const now = await get("/api/version").catch(() => null);
      if (now && now.version !== found.version) again();
    }, 4000);
    return () => clearInterval(timer);
  }, [found.version]);

  const remember = (values) => go(location.pathname + changed(new URLSearchParams(location.search), values), true);
  const shownDeleted = captions.some((row) => row.caption_id === chosen && row.state.includes("deleted")) ? chosen : null;
  const shownRows = useMemo(() => captions.filter((row) => !row.state.includes("deleted") || row.caption_id === shownDeleted), [captions, shownDeleted]);
  const lanes = useMemo(() => lanesOf(shownRows, editing), [shownRows, editing]);
  const allLanes = useMemo(() => [...lanes, ...answerLanes], [lanes, answerLanes]);

  const rowOf = (id) => captions.find((row) => row.caption_id === id);
  const play = (row) => {
    pick(row.caption_id);
    setLevel(row.level);
    remember({ caption: row.caption_id, t: null });
    player.loop = loops ? [row.start, row.end] : null;
    player.seek(row.start);
    player.play(loops ? null : row.end);
  };
  const choose = (item) => {
    const row = rowOf(item.id);
    if (!row) {
      player.seek(item.start);
      player.play(item.end);
      return;
    }
    if (editing && editing.caption_id !== row.caption_id) {
      if (!mayLeave()) return;
      setEditing(null);
    }
    play(row);
  };
  const step = (by) => {
    const rows = shownRows.filter((row) => row.level === level);
    const time = player.time;
    // From the one that was chosen last, as long as the playhead is there.
    const at = rows.findIndex((row) => row.caption_id === picked.current && row.start - 0.2 <= time && time <= row.end + 0.5);
    let next;
    if (at >= 0) next = rows[at + by];
    else next = by > 0 ? rows.find((row) => row.start > time) : [...rows].reverse().find((row) => row.start < time);
    if (!next || (editing && !mayLeave())) return;
    setEditing(null);
    play(next);
  };
  const loop = () => {
    const row = rowOf(chosen) || current(captions, player.time).pop();
    player.loop = loops || !row ? null : [row.start, row.end];
    if (!loops && row) pick(row.caption_id);
    setLoops(!loops && Boolean(row));
  };
  const edit = (row) => {
    if (editing && (editing.caption_id === row.caption_id || !mayLeave())) return;
    setAdding(false);
    pick(row.caption_id);
    setEditing({ ...row });
    remember({ caption: row.caption_id });
  };
  useEffect(() => {
    const pressed = (event) => {
      if (isTyping(event) || !about.can_review || event.key !== "e") return;
      const row = rowOf(picked.current) || current(captions, player.time).pop();
      if (row) {
        event.preventDefault();
        edit(row);
      }
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  });
  const edge = (item, which, time) => {
    const fps = video.fps || 25;
    const at = Math.round(time * fps) / fps;
    if (!editing || editing.caption_id !== item.id) return;
    const start = which === "start" ? Math.min(at, editing.end - 1 / fps) : editing.start;
    const end = which === "end" ? Math.max(at, editing.start + 1 / fps) : editing.end;
    setEditing({ ...editing, start, end });
    player.pause();
    player.seek(which === "start" ? start : end);
  };
  const facts = [video.procedure_type, video.specialty, video.procedure_modality].filter(Boolean).join(" · ");
  return html`
    <div class="video-head">
      <h1>${video.title}</h1>
      <p class="facts">${clock(video.duration)} · ${captions.length} captions${facts && ` · ${facts}`} · <a href=${`/captions?video=${video.video_id}`}>as a list</a> ${video.youtube && html`· <${Elsewhere} video=${video} player=${player} />`} <${Badges} row=${video} /></p>
    </div>
    <div class="watch">
      <div class="stage"><${Media} found=${found} player=${player} again=${again} /></div>
      ${editing
        ? html`<${Editor} key=${editing.caption_id} row=${rowOf(editing.caption_id) || editing} draft=${editing} setDraft=${setEditing} fps=${video.fps || 25} player=${player} onDone=${() => { setEditing(null); again(); }} onCancel=${() => mayLeave() && setEditing(null)} />`
        : adding
          ? html`<${AddCaption} video=${video} player=${player} level=${level} onDone=${(made) => { setAdding(false); pick(made.caption.caption_id); again(); }} onCancel=${() => setAdding(false)} />`
          : html`<${Now} captions=${shownRows} player=${player} about=${about} onEdit=${edit} onPlay=${play} onLike=${setLike} />`}
    </div>
    <${Transport} player=${player} duration=${duration} fps=${video.fps || 25} speeds=${SPEEDS} onStep=${step} loops=${loops} onLoop=${loop} level=${level} levels=${LEVELS} onLevel=${setLevel} />
    ${about.can_review && html`<div class="review-bar">
      <button onClick=${() => { if (!editing || mayLeave()) { setEditing(null); setAdding(true); } }}>Add a caption here</button>
      <${TakeDownVideo} video=${video} onDone=${again} />
    </div>`}
    <${Lanes} player=${player} duration=${duration} lanes=${allLanes} chosen=${chosen} onChoose=${choose} editing=${Boolean(editing)} onEdge=${edge} />
    ${found.answers && html`<${Answer} video=${video} captions=${shownRows} state=${found.answers} about=${about} player=${player} duration=${duration} like=${like} onLanes=${setAnswerLanes} query=${query} />`}
    ${found.transcript && html`<details class="transcript"><summary>What was said in the whole video</summary><p>${found.transcript}</p></details>`}
  `;
}
