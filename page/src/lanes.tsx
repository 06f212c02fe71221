// A lane for each worker: what it does, and beside it what it has done.

import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Feed } from "./feed";
import { baseName, bytes, clock, count, percent, plainName } from "./format";
import type { FunctionColours } from "./timeline/colours";
import { Timeline } from "./timeline/timeline";
import type { Zoom } from "./timeline/view";
import { type Lane, type Snapshot, isLost, isWorker } from "./types";

const LOWEST = 8; // pixels of a row; with more workers than have room so, the lanes scroll
const USUAL = 28;
const HIGHEST = 38; // of few of them
const FEW = 6;
const TWO_LINES = 25; // of text in a row that is at least so high
const MOST = 400; // rows; of what has gone, the oldest are left out
const AXIS = 18;
const SHORT = 9; // characters of a name that has room without taking it from others

interface Props {
  feed: Feed;
  run: Snapshot;
  colours: FunctionColours;
  zoom: Zoom;
  setZoom: (zoom: Zoom) => void;
  choose: (pid: number) => void;
}

const BY_NAME = new Intl.Collator("en", { numeric: true }); // "worker 10" after "worker 9"; of one name, in the order in which they came

/** Those that live, and those that have gone as far as there is room. */
export function shownLanes(run: Snapshot): Lane[] {
  const rank = (lane: Lane): number => (lane.role === "program" ? 0 : isWorker(lane) ? 2 : 1);
  const lanes = [...run.lanes].sort((one, other) => rank(one) - rank(other) || BY_NAME.compare(one.name, other.name));
  let tooMany = lanes.length - Math.max(MOST, lanes.filter((lane) => lane.state !== "gone").length);
  if (tooMany <= 0) return lanes;
  return lanes.filter((lane) => lane.state !== "gone" || tooMany-- <= 0);
}

export function Lanes({ feed, run, colours, zoom, setZoom, choose }: Props): JSX.Element {
  const body = useRef<HTMLDivElement>(null);
  const axis = useRef<HTMLCanvasElement>(null);
  const [room, setRoom] = useState({ width: 0, height: 0 });
  const [scrolled, setScrolled] = useState(0);
  const lanes = shownLanes(run);
  useLayoutEffect(() => {
    const element = body.current!;
    const measure = (): void => {
      const info = element.querySelector<HTMLElement>(".lane-rows")!;
      setRoom({ width: element.clientWidth - info.offsetWidth, height: element.clientHeight });
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  const rowHeight = Math.max(LOWEST, Math.min(HIGHEST, Math.floor((room.height * 4) / Math.max(1, lanes.length)) / 4));
  const height = Math.min(room.height, Math.ceil(rowHeight * lanes.length));
  // One of them is reached by the tabulator, the others by the arrows: there may be many before what comes next on the page.
  const [reached, reach] = useState(0);
  const buttons = (): HTMLElement[] => [...body.current!.querySelectorAll<HTMLElement>(".lane-name")];
  const focused = (event: FocusEvent): void => {
    const index = buttons().indexOf(event.target as HTMLElement);
    if (index >= 0) reach(index);
  };
  const stepped = (event: KeyboardEvent): void => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    const next = buttons()[reached + step];
    if (!step || !next) return;
    event.preventDefault();
    next.focus();
  };
  const shape = rowHeight < 12 ? "tiny" : rowHeight < 17 ? "small" : rowHeight < TWO_LINES ? "" : "tall";
  return (
    <section class={`panel lanes ${lanes.some((lane) => lane.name.length > SHORT) ? "long-names" : ""}`} aria-label="Workers">
      <header>
        <h2>Workers</h2>
        <Census run={run} />
        <span class="grow" />
        <Legend colours={colours} />
        {zoom ? (
          <button class="small" onClick={() => setZoom(null)}>Follow the present</button>
        ) : (
          <span class="hint">wheel or drag to zoom</span>
        )}
      </header>
      <div class="lane-head" aria-hidden="true">
        <span class="lane-columns">
          <span />
          <span>name</span>
          <span>busy</span>
          <span class="right">CPU</span>
          <span class="right">memory</span>
          <span>task and line</span>
        </span>
        <canvas ref={axis} height={AXIS} />
      </div>
      <div class={`lane-body ${shape}`} ref={body} style={{ height: `${lanes.length * (lanes.length <= FEW ? HIGHEST : USUAL)}px` }} onScroll={(event) => setScrolled(event.currentTarget.scrollTop)}>
        <div class="lane-rows" role="list" onKeyDown={stepped} onFocusCapture={focused}>
          {lanes.map((lane, index) => (
            <Row key={lane.pid} lane={lane} height={rowHeight} choose={choose} isReached={index === Math.min(reached, lanes.length - 1)} />
          ))}
        </div>
        <Timeline
          {...{ feed, run, lanes, rowHeight, scrolled, height, colours, zoom, setZoom }}
          width={Math.max(0, room.width)}
          axis={axis.current}
        />
      </div>
    </section>
  );
}

function Census({ run }: { run: Snapshot }): JSX.Element {
  const workers = run.lanes.filter(isWorker);
  if (workers.length === 0) return <span class="census">none so far</span>;
  const of = (state: Lane["state"]): number => workers.filter((lane) => lane.state === state).length;
  const lost = workers.filter(isLost).length;
  const parts = [
    [of("busy"), "busy", ""],
    [of("idle"), "idle", ""],
    [of("paused"), "paused", "fair"],
    [of("gone") - lost, "ended", ""],
    [lost, "lost", "bad"],
  ] as const;
  return (
    <span class="census">
      <b>{count(workers.length - of("gone"))}</b>
      {parts.map(([number, word, kind]) => (number > 0 ? <span class={kind}>{count(number)} {word}</span> : null))}
    </span>
  );
}

function Legend({ colours }: { colours: FunctionColours }): JSX.Element {
  const names = colours.names.filter(Boolean);
  return (
    <span class="legend">
      {names.slice(0, 5).map((name) => (
        <span title={name}><i class={`swatch fn-${colours.of(name)}`} />{plainName(name)}</span>
      ))}
      {names.length > 5 && <span title={names.slice(5).join(", ")}>and {names.length - 5} more</span>}
    </span>
  );
}

interface RowProps {
  lane: Lane;
  height: number;
  choose: (pid: number) => void;
  isReached: boolean;
}

function Row({ lane, height, choose, isReached }: RowProps): JSX.Element {
  const wasLost = isLost(lane);
  const state = wasLost ? "lost" : lane.state;
  const kind = lane.role === "program" ? "program" : "";
  const hasOwn = lane.state !== "gone" && lane.role !== "thread"; // memory and processor time: those of threads are their process's
  const silent = lane.silent > 2 && lane.state !== "gone" ? `, silent for ${clock(lane.silent)}` : "";
  return (
    <div class={`lane lane-columns ${state} ${kind}`} role="listitem" style={{ height: `${height}px` }} onClick={() => choose(lane.pid)}>
      <i class="dot" title={`${state}${silent}`} />
      <button class="lane-name" tabIndex={isReached ? 0 : -1} title={`${lane.name}, process ${lane.process ?? lane.pid}: ${state}${silent}. Details`} aria-label={`${lane.name}, ${state}`}>
        {lane.name}
      </button>
      <span class="meter" title={`busy ${percent(lane.busy)} of its time`}>
        <i style={{ width: `${lane.busy * 100}%` }} />
        <b>{Math.round(lane.busy * 100)}</b>
      </span>
      {wasLost ? (
        <span class="lane-end" title={lane.how}>{lane.how || "was lost"}</span>
      ) : (
        <>
          <span class="right">{hasOwn ? `${Math.round(lane.cpu * 100)} %` : ""}</span>
          <span class="right">{hasOwn ? bytes(lane.memory) : ""}</span>
          <Doing lane={lane} silent={silent} />
        </>
      )}
    </div>
  );
}

function Doing({ lane, silent }: { lane: Lane; silent: string }): JSX.Element {
  const top = lane.stack[0];
  const place = top ? `${baseName(top[0])}:${top[1]}` : "";
  if (lane.state === "gone") return <span class="doing muted">has ended</span>;
  const whole = lane.task?.function || (lane.state === "busy" && lane.function) || top?.[2] || "";
  if (!whole) return <span class="doing muted">{lane.state}</span>;
  const what = plainName(whole);
  const given = lane.task?.arguments ?? "";
  return (
    <span class="doing" title={`${whole}${given && `(${given})`}${lane.task ? ` for ${clock(lane.task.for)}` : ""}${place && `, at ${place}`}${silent}`}>
      <span class="what">{what}{given && <span class="given">({given})</span>}</span>
      <span class="place">{place}</span>
    </span>
  );
}
