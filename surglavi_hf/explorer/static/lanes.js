// Intervals in lanes over one line of time, with a playhead; the video page and the benchmark's draw the same.
import { Component, html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/htm-preact.js";
import { clock, isTyping } from "./common.js";

const MOST_ZOOM = 400;
const STEPS_S = [0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
const LEAST_TICK = 84; // pixels between times of the ruler

/** Puts intervals that overlap into rows below each other. Returns [[item, row], …] and the number of rows. */
export function packed(items) {
  const ends = [];
  const placed = items.map((item) => {
    let row = ends.findIndex((end) => end <= item.start + 1e-6);
    if (row < 0) row = ends.length < 4 ? ends.push(0) - 1 : ends.indexOf(Math.min(...ends));
    ends[row] = Math.max(ends[row], item.end);
    return [item, row];
  });
  return [placed, Math.max(1, ends.length)];
}

function Ruler({ duration, width, from, until }) {
  const step = STEPS_S.find((one) => (one / duration) * width >= LEAST_TICK) || STEPS_S[STEPS_S.length - 1];
  const first = Math.max(0, Math.floor(from / step));
  const last = Math.min(Math.floor(duration / step), Math.ceil(until / step));
  const ticks = Array.from({ length: Math.max(0, last - first + 1) }, (_, at) => (first + at) * step);
  return html`<div class="ruler" aria-hidden="true">
    ${ticks.map((time) => html`<span key=${time} style=${{ left: `${(100 * time) / duration}%` }}>${clock(time, step < 1 ? 1 : 0)}</span>`)}
  </div>`;
}

// Drawn anew only where what it shows changed: hundreds of intervals are not touched while one plays or zooms.
class Lane extends Component {
  shouldComponentUpdate(next) {
    const now = this.props;
    const has = (props, id) => props.lane.items.some((item) => item.id === id);
    return (
      next.lane.items !== now.lane.items || next.lane.name !== now.lane.name || next.duration !== now.duration || next.editing !== now.editing ||
      (next.chosen !== now.chosen && (has(next, next.chosen) || has(now, now.chosen)))
    );
  }

  render({ lane, duration, chosen, act, editing }) {
    const [placed, rows] = packed(lane.items);
    const at = lane.items.findIndex((item) => item.id === chosen);
    const stop = at >= 0 ? at : 0; // the one that Tab reaches; arrows walk on
    const height = lane.height || 26;
    return html`<div class=${`lane ${lane.kind || ""}`} style=${{ height: `${rows * height + 6}px` }} role="group" aria-label=${lane.name}>
      ${placed.map(([item, row], index) => {
        const style = { left: `${(100 * item.start) / duration}%`, width: `${(100 * (item.end - item.start)) / duration}%`, top: `${3 + row * height}px`, height: `${height - 3}px` };
        if (item.colour) style["--colour"] = item.colour;
        if (item.share !== undefined && item.share !== null) style["--share"] = item.share;
        const title = `${clock(item.start)}–${clock(item.end)} ${item.label}`;
        if (lane.still) return html`<span class="interval" key=${item.id} style=${style} title=${title}><span>${item.label}</span></span>`;
        return html`<button class=${`interval ${item.class || ""} ${item.id === chosen ? "chosen" : ""}`} key=${item.id} style=${style}
          data-id=${item.id} tabindex=${index === stop ? 0 : -1} aria-pressed=${item.id === chosen ? "true" : "false"}
          aria-label=${`${lane.name}, ${title}`} title=${title}
          onClick=${() => act.choose(item, lane)} onKeyDown=${(event) => act.walk(event, item, lane)} onKeyUp=${(event) => event.key === " " && event.preventDefault()}>
          <span>${item.label}</span>
          ${editing && item.id === chosen ? html`<i class="edge start" data-edge="start"></i><i class="edge end" data-edge="end"></i>` : null}
        </button>`;
      })}
    </div>`;
  }
}

/**
 * lanes: [{name, items: [{id, start, end, label, class, colour, share}], kind, still, height}], all in seconds.
 * onEdge(item, edge, time, done) is told of edges that are dragged, where `editing`.
 */
export function Lanes({ player, duration, lanes, chosen, onChoose, editing = false, onEdge }) {
  const scroll = useRef(null);
  const world = useRef(null);
  const head = useRef(null);
  const [zoom, setZoom] = useState(1);
  const [view, setView] = useState({ left: 0, width: innerWidth });
  const keep = useRef(null); // what stays under the pointer while zooming

  const look = () => {
    const box = scroll.current;
    if (!box) return;
    setView((before) => (before.left === box.scrollLeft && before.width === box.clientWidth ? before : { left: box.scrollLeft, width: box.clientWidth }));
  };
  useLayoutEffect(() => {
    look();
    addEventListener("resize", look);
    return () => removeEventListener("resize", look);
  }, []);
  const width = view.width * zoom;
  const from = (view.left / width) * duration;
  const until = ((view.left + view.width) / width) * duration;
  useEffect(() => {
    player.view = [from, until]; // which a curve beside the lanes follows
    player.tell();
  }, [from, until]);

  const zoomTo = (next, time = player.time) => {
    const box = scroll.current;
    const old = (time / duration) * box.clientWidth * zoom - box.scrollLeft;
    keep.current = { time, offset: Math.min(Math.max(old, 0), box.clientWidth) };
    setZoom(Math.min(MOST_ZOOM, Math.max(1, next)));
  };
  useLayoutEffect(() => {
    const box = scroll.current;
    if (keep.current) box.scrollLeft = (keep.current.time / duration) * box.clientWidth * zoom - keep.current.offset;
    keep.current = null;
    look();
  }, [zoom]);

  // The playhead moves by itself: nothing is drawn anew.
  useEffect(() => {
    const follow = () => {
      const box = scroll.current;
      if (!box || !head.current) return;
      const x = (player.time / duration) * box.clientWidth * zoom;
      head.current.style.transform = `translateX(${x}px)`;
      if (!player.paused && (x < box.scrollLeft || x > box.scrollLeft + box.clientWidth)) box.scrollLeft = x - box.clientWidth * 0.1;
    };
    follow();
    return player.listen(follow);
  }, [zoom, duration, view.width]);

  useEffect(() => {
    const pressed = (event) => {
      if (isTyping(event)) return;
      if (event.key === "+" || event.key === "=") zoomTo(zoom * 1.5);
      if (event.key === "-" || event.key === "−") zoomTo(zoom / 1.5);
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [zoom, duration]);
  useEffect(() => {
    const turned = (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      const box = scroll.current;
      const time = ((event.clientX - box.getBoundingClientRect().left + box.scrollLeft) / (box.clientWidth * zoom)) * duration;
      zoomTo(zoom * (event.deltaY < 0 ? 1.25 : 0.8), time);
    };
    const box = scroll.current;
    box.addEventListener("wheel", turned, { passive: false });
    return () => box.removeEventListener("wheel", turned);
  }, [zoom, duration]);

  const timeAt = (event) => {
    const box = world.current.getBoundingClientRect();
    return Math.min(duration, Math.max(0, ((event.clientX - box.left) / box.width) * duration));
  };
  const down = (event) => {
    if (event.button) return;
    const edge = event.target.dataset && event.target.dataset.edge;
    if (edge) {
      event.preventDefault();
      const button = event.target.parentElement;
      const item = lanes.flatMap((lane) => lane.items).find((one) => String(one.id) === button.dataset.id);
      const move = (moved) => onEdge(item, edge, timeAt(moved), false);
      const up = (moved) => {
        onEdge(item, edge, timeAt(moved), true);
        removeEventListener("pointermove", move);
        // The click that ends a drag is not one on the interval.
        const swallow = (event) => event.stopPropagation();
        addEventListener("click", swallow, { capture: true, once: true });
        setTimeout(() => removeEventListener("click", swallow, { capture: true }), 0);
      };
      addEventListener("pointermove", move);
      addEventListener("pointerup", up, { once: true });
      return;
    }
    if (event.target.closest("button.interval")) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    player.seek(timeAt(event));
  };
  const moved = (event) => event.currentTarget.hasPointerCapture(event.pointerId) && player.seek(timeAt(event));

  const walk = (event, item, lane) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const other = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    let next = null;
    if (step && !event.shiftKey) next = lane.items[lane.items.indexOf(item) + step];
    if (other) {
      const usable = lanes.filter((one) => !one.still && one.items.length);
      const to = usable[usable.indexOf(lane) + other];
      const middle = (item.start + item.end) / 2;
      next = to && to.items.reduce((best, one) => (Math.abs((one.start + one.end) / 2 - middle) < Math.abs((best.start + best.end) / 2 - middle) ? one : best));
    }
    if (!step && !other) return;
    event.preventDefault();
    event.stopPropagation();
    const button = next && world.current.querySelector(`[data-id="${CSS.escape(String(next.id))}"]`);
    if (button) {
      button.focus({ preventScroll: true });
      button.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  };

  const act = useRef({}).current; // the newest, for lanes that are not drawn anew
  Object.assign(act, { choose: onChoose, walk });
  const names = useMemo(() => lanes.map((lane) => [lane.name, packed(lane.items)[1] * (lane.height || 26) + 6]), [lanes]);

  return html`<div class="lanes">
    <div class="zoom">
      <button onClick=${() => zoomTo(zoom / 1.5)} disabled=${zoom <= 1} aria-label="zoom out">−</button>
      <button onClick=${() => zoomTo(zoom * 1.5)} disabled=${zoom >= MOST_ZOOM} aria-label="zoom in">+</button>
      <button onClick=${() => zoomTo(1)} disabled=${zoom === 1}>whole</button>
      <span class="hint">${clock(from)}–${clock(until)}</span>
    </div>
    <div class="names-and-time">
      <div class="names" aria-hidden="true">
        <span class="name ruler"></span>
        ${names.map(([name, height]) => html`<span class="name" title=${name} style=${{ height: `${height}px` }}>${name}</span>`)}
      </div>
      <div class="scroll" ref=${scroll} onScroll=${look} tabindex="-1">
        <div class="world" ref=${world} style=${{ width: `${100 * zoom}%` }} onPointerDown=${down} onPointerMove=${moved}>
          <${Ruler} duration=${duration} width=${width} from=${from} until=${until} />
          ${lanes.map((lane) => html`<${Lane} key=${lane.name} lane=${lane} duration=${duration} chosen=${chosen} act=${act} editing=${editing} />`)}
          <div class="playhead" ref=${head} aria-hidden="true"></div>
        </div>
      </div>
    </div>
  </div>`;
}

// Drawn, since fonts differ in which of these signs they have.
const ICONS = {
  play: "M4 2.5v11l9.5-5.5z",
  pause: "M4 2.5h3v11H4zM9 2.5h3v11H9z",
  before: "M3 2.5h2v11H3zM13 2.5v11L5.5 8z",
  after: "M11 2.5h2v11h-2zM3 2.5v11L10.5 8z",
  loop: "M8 2.5a5.5 5.5 0 1 0 5.2 3.7l-1.6.5A3.8 3.8 0 1 1 8 4.2V7l4-3.6L8 0z",
};

function Icon({ name }) {
  return html`<svg viewBox="0 0 16 16" width="15" height="15" aria-hidden="true"><path d=${ICONS[name]} fill="currentColor" /></svg>`;
}

/** Buttons and keys of a player: play, next and previous interval, speed, loop. */
export function Transport({ player, duration, fps, speeds, onStep, loops, onLoop, level, levels, onLevel }) {
  const [state, setState] = useState({ paused: true, rate: 1 });
  const time = useRef(null);
  const slider = useRef(null);
  useEffect(() => {
    const follow = () => {
      time.current.textContent = `${clock(player.time)} / ${clock(duration)}`;
      if (document.activeElement !== slider.current) slider.current.value = player.time;
      setState((before) => (before.paused === player.paused && before.rate === player.rate ? before : { paused: player.paused, rate: player.rate }));
    };
    follow();
    return player.listen(follow);
  }, [duration]);
  const toggle = () => (player.paused ? player.play() : player.pause());
  const faster = (by) => {
    const at = speeds.indexOf(player.rate);
    player.setRate(speeds[Math.min(speeds.length - 1, Math.max(0, at + by))]);
  };
  useEffect(() => {
    const pressed = (event) => {
      const target = event.target;
      if (isTyping(event)) return;
      // Which Space is for; an interval is played by Enter, and Space pauses what it plays.
      const onButton = target.closest && target.closest("button:not(.interval), a, summary, input");
      const act = {
        " ": onButton ? null : toggle,
        ArrowLeft: () => player.seek(player.time - (event.shiftKey ? 1 / fps : 1)),
        ArrowRight: () => player.seek(player.time + (event.shiftKey ? 1 / fps : 1)),
        n: () => onStep(1),
        p: () => onStep(-1),
        "[": () => faster(-1),
        "]": () => faster(1),
        l: onLoop,
      }[event.key];
      const number = levels && levels[Number(event.key) - 1];
      if (act) {
        event.preventDefault();
        act();
      } else if (number) onLevel(number);
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  });
  return html`<div class="transport" role="group" aria-label="player">
    <button onClick=${() => onStep(-1)} aria-label="interval before" title="interval before (p)"><${Icon} name="before" /></button>
    <button class="primary" onClick=${toggle} aria-label=${state.paused ? "play" : "pause"} title="play, pause (Space)"><${Icon} name=${state.paused ? "play" : "pause"} /></button>
    <button onClick=${() => onStep(1)} aria-label="interval after" title="interval after (n)"><${Icon} name="after" /></button>
    <button onClick=${onLoop} aria-pressed=${loops ? "true" : "false"} aria-label="loop the interval" title="loop the interval (l)"><${Icon} name="loop" /></button>
    <label class="speed">speed
      <select value=${state.rate} onChange=${(event) => player.setRate(Number(event.currentTarget.value))}>
        ${speeds.map((speed) => html`<option value=${speed}>${speed}×</option>`)}
      </select>
    </label>
    ${levels && html`<label>n and p go through
      <select value=${level} onChange=${(event) => onLevel(event.currentTarget.value)}>${levels.map((one) => html`<option value=${one}>${one}s</option>`)}</select>
    </label>`}
    <span class="time" ref=${time}></span>
    <input class="position" ref=${slider} type="range" min="0" max=${duration} step="0.1" defaultValue="0" aria-label="position in seconds" onInput=${(event) => player.seek(Number(event.currentTarget.value))} />
  </div>`;
}
