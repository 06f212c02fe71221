// Files by heat, and the lines of one: how often or how long, how recent, and who is there now.

import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Feed } from "./feed";
import { baseName, brief, clock, count, duration, several, short } from "./format";
import { type Token, highlighted } from "./highlight";
import type { FileHeat, Frame, Lane, LineHeat, Snapshot, SourceData } from "./types";

const LINE = 15; // pixels
const BAR = 34; // pixels of the longest bar
const SPARE = 12; // lines drawn above and below what is seen
const EVERY = 1_000; // ms between two looks at the heat
const FADES = 6; // seconds after which a line's heat has half of its brightness

export type Measure = "time" | "hits";
/** What hits are, which differs by the level of watching. */
export type Counts = "looks" | "ran" | "runs";
const COUNTS: Record<string, Counts> = { sample: "looks", touch: "ran", auto: "runs", exact: "runs", looks: "looks", ran: "ran", touched: "ran", runs: "runs" };

const countsOf = (run: Snapshot, data: SourceData | null): Counts => COUNTS[data?.counts ?? ""] ?? COUNTS[run.level ?? ""] ?? "looks";

/** ``line``: to be shown in the middle. ``number`` differs each time that is asked for. */
export interface Place {
  path: string;
  line: number;
  number: number;
}

interface Props {
  feed: Feed;
  run: Snapshot;
  pid: number | null;
  setPid: (pid: number | null) => void;
  place: Place | null;
  setPlace: (path: string | null, line?: number) => void;
}

export function Source({ feed, run, pid, setPid, place, setPlace }: Props): JSX.Element {
  const [chosen, setMeasure] = useState<Measure | null>(null);
  const first = useFirst(run);
  const measure = chosen ?? first;
  const [more, setMore] = useState<FileHeat[]>([]);
  const file = useFile(run.files, more, place);
  const data = useSource(feed, run, file, pid);
  const workers = run.lanes.filter((lane) => lane.state !== "gone" || lane.pid === pid);
  return (
    <section class="panel source" aria-label="Source, by line">
      <header>
        <h2>Source</h2>
        <Files files={run.files} file={file} choose={(path) => setPlace(path)} />
        <MoreFiles {...{ feed, run, file, more, setMore }} choose={(path) => setPlace(path)} />
        <select
          aria-label="whose lines"
          title="Whose lines"
          value={pid ?? ""}
          onChange={(event) => setPid(event.currentTarget.value ? Number(event.currentTarget.value) : null)}
        >
          <option value="">all workers</option>
          {workers.map((lane) => <option key={lane.pid} value={lane.pid}>{lane.name}</option>)}
        </select>
        <Switch measure={measure} setMeasure={setMeasure} counts={countsOf(run, data)} />
      </header>
      {data && file ? (
        <Lines key={`${run.id} ${file.path}`} {...{ data, measure, run, pid }} counts={countsOf(run, data)} path={file.path} place={place?.path === file.path ? place : null} />
      ) : (
        <p class="empty">{file ? "Reading…" : "No line was seen yet."}</p>
      )}
    </section>
  );
}

/** What is shown before somebody has chosen: where runs are counted, these, if there was no time yet when there was the first line. */
function useFirst(run: Snapshot): Measure {
  const decided = useRef<Measure | null>(null);
  if (decided.current === null && run.files.length > 0) {
    decided.current = countsOf(run, null) === "runs" && !run.files.some((file) => file.own > 0) ? "hits" : "time";
  }
  return decided.current ?? "time";
}

const SWITCH_TITLES: Record<Counts, string> = {
  looks: "how often a thread was seen in the line, of twenty looks a second; how often it has run is counted at level touch, auto or exact",
  ran: "whether the line has run",
  runs: "how often the line has run",
};

interface SwitchProps {
  measure: Measure;
  setMeasure: (measure: Measure) => void;
  counts: Counts;
}

function Switch({ measure, setMeasure, counts }: SwitchProps): JSX.Element {
  return (
    <span class="switch" role="radiogroup" aria-label="what the bars show">
      {(["time", "hits"] as const).map((each) => (
        <label class={measure === each ? "on" : ""} title={each === "time" ? "how long the line took, with what it calls; darker: by itself" : SWITCH_TITLES[counts]}>
          <input type="radio" name="measure" checked={measure === each} onChange={() => setMeasure(each)} />
          {each === "time" ? each : counts}
        </label>
      ))}
    </span>
  );
}

/** The file that was chosen; else the hottest one, and not another whenever two are about as hot. */
function useFile(files: FileHeat[], more: FileHeat[], place: Place | null): FileHeat | null {
  const opened = useRef<string | null>(null);
  if (place) return [...files, ...more].find((file) => file.path === place.path) ?? { path: place.path, hits: 0, own: 0, last: 0 };
  const hottest = files[0];
  const current = files.find((file) => file.path === opened.current);
  const shown = current && hottest && hottest.own < current.own * 1.5 ? current : hottest;
  opened.current = shown?.path ?? null;
  return shown ?? null;
}

function useSource(feed: Feed, run: Snapshot, file: FileHeat | null, pid: number | null): (SourceData & { tokens: Token[][] }) | null {
  const key = `${run.id} ${file?.id ?? file?.path}`;
  const [known, setKnown] = useState<{ key: string; path: string; lines: string[] } | null>(null);
  const [data, setData] = useState<{ key: string; of: SourceData } | null>(null);
  const moment = feed.length === null ? (run.state === "running" ? Math.floor((run.elapsed * 1000) / EVERY) : -1) : run.elapsed;
  useEffect(() => {
    if (!file) return;
    let isWanted = true;
    const isKnown = known?.key === key;
    feed.source(run.id, file, pid, isKnown).then(
      (found) => {
        if (!isWanted) return;
        if (found.lines && !isKnown) setKnown({ key, path: found.path, lines: found.lines });
        setData({ key, of: found });
      },
      () => {}, // a lost link is told elsewhere
    );
    return () => {
      isWanted = false;
    };
  }, [feed, key, pid, moment]);
  const tokens = useMemo(() => (known ? highlighted(known.lines) : []), [known]);
  return known && data && known.key === key && data.key === key ? { ...data.of, lines: known.lines, tokens } : null;
}

function Files({ files, file, choose }: { files: FileHeat[]; file: FileHeat | null; choose: (path: string) => void }): JSX.Element {
  const all = files.reduce((sum, each) => sum + each.own, 0) || 1;
  const row = useRef<HTMLDivElement>(null);
  const move = (event: KeyboardEvent): void => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    const tabs = [...row.current!.querySelectorAll("button")];
    const next = tabs[tabs.findIndex((tab) => tab.ariaSelected === "true") + step];
    if (!step || !next) return;
    next.click();
    next.focus();
  };
  return (
    <div class="files" role="tablist" aria-label="files by heat" ref={row} onKeyDown={move}>
      {files.filter((each) => isTab(each, all) || each.path === file?.path).slice(0, 12).map((each) => {
        const isOpen = each.path === file?.path;
        return (
          <button
            key={each.path}
            role="tab"
            aria-selected={isOpen}
            tabIndex={isOpen ? 0 : -1}
            title={`${each.path}: ${duration(each.own)} of its own`}
            onClick={() => choose(each.path)}
          >
            {baseName(each.path)} <small>{Math.round((each.own / all) * 100)} %</small>
            <i style={{ width: `${(each.own / all) * 100}%` }} />
          </button>
        );
      })}
    </div>
  );
}

const FOREIGN = /^<|\/(site-packages|lib\/python3\.\d+)\//;

/** Libraries, and code that is in no file, as named tuples are made of, only where they take time. */
const isTab = (file: FileHeat, all: number): boolean => !FOREIGN.test(file.path) || file.own >= all / 50;

interface MoreProps {
  feed: Feed;
  run: Snapshot;
  file: FileHeat | null;
  more: FileHeat[];
  setMore: (files: FileHeat[]) => void;
  choose: (path: string) => void;
}

/** All files, asked for when somebody looks. */
function MoreFiles({ feed, run, file, more, setMore, choose }: MoreProps): JSX.Element {
  const files = more.length ? more : run.files;
  const ask = (): void => void feed.files(run.id).then(setMore, () => {});
  return (
    <select class="more" aria-label="all files, by heat" title="All files" value={file?.path ?? ""} onFocus={ask} onPointerEnter={ask} onChange={(event) => choose(event.currentTarget.value)}>
      {file && !files.some((each) => each.path === file.path) && <option value={file.path}>{file.path}</option>}
      {files.map((each) => <option key={each.path} value={each.path}>{each.path} — {duration(each.own)}</option>)}
    </select>
  );
}

interface LinesProps {
  data: SourceData & { tokens: Token[][] };
  measure: Measure;
  counts: Counts;
  run: Snapshot;
  pid: number | null;
  path: string;
  place: Place | null;
}

function Lines({ data, measure, counts, run, pid, path, place }: LinesProps): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 400 });
  const most = useMemo(() => Object.values(data.heat).reduce((top, heat) => Math.max(top, amount(heat, measure)), 0), [data.heat, measure]);
  const here = whoIsWhere(run.lanes, path, pid);
  const runnable = useMemo(() => new Set(data.runnable), [data.runnable]);
  const hasMoved = useRef(false);
  useEffect(() => {
    const observer = new ResizeObserver(() => setView((old) => ({ ...old, height: box.current?.clientHeight ?? old.height })));
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, []);
  // The hottest line comes into view by itself, until somebody has scrolled.
  const hottest = hottestLine(data.heat, measure);
  const wanted = place?.line || hottest;
  const shown = useRef(0);
  useLayoutEffect(() => {
    if (!wanted || (hasMoved.current && !place?.line)) return;
    shown.current = Math.max(0, Math.round((wanted - 0.5) * LINE - view.height / 2));
    box.current!.scrollTop = shown.current;
    shown.current = box.current!.scrollTop;
  }, [place?.number, place?.line ? 0 : wanted, view.height]);
  const first = Math.max(0, Math.floor(view.top / LINE) - SPARE);
  const last = Math.min(data.tokens.length, Math.ceil((view.top + view.height) / LINE) + SPARE);
  return (
    <div
      class="lines"
      ref={box}
      tabIndex={0}
      role="region"
      aria-label={`${path}; hottest line ${hottest}`}
      onScroll={(event) => {
        const { scrollTop } = event.currentTarget;
        if (Math.abs(scrollTop - shown.current) > 1) hasMoved.current = true;
        setView((old) => ({ ...old, top: scrollTop }));
      }}
    >
      <div class="all-lines" style={{ height: `${data.tokens.length * LINE + 6}px` }}>
        <div class="some-lines" style={{ top: `${first * LINE + 3}px` }}>
          {data.tokens.slice(first, last).map((tokens, index) => {
            const number = first + index + 1;
            return (
              <Line
                key={number}
                {...{ number, tokens, measure, counts, most }}
                heat={data.heat[number]}
                isRunnable={data.counted === true && runnable.has(number)}
                here={here.get(number)}
                age={data.heat[number] ? Math.max(0, run.elapsed - data.heat[number][3]) : 0}
                isWanted={place?.line === number}
              />
            );
          })}
        </div>
      </div>
    </div>
  );
}

const amount = ([hits, time]: LineHeat, measure: Measure): number => (measure === "time" ? time : hits);

function hottestLine(heat: Record<string, LineHeat>, measure: Measure): number {
  let [best, most] = [0, 0];
  for (const [number, line] of Object.entries(heat)) {
    const value = measure === "time" ? line[2] : line[0]; // of its own: else it is the line that calls all the others
    if (value > most) [best, most] = [Number(number), value];
  }
  return best;
}

interface Here {
  inner: string[]; // names of the workers whose innermost frame is there
  outer: string[]; // of those that have called something there
}

function whoIsWhere(lanes: Lane[], path: string, pid: number | null): Map<number, Here> {
  const found = new Map<number, Here>();
  for (const lane of lanes) {
    if (lane.state === "gone" || (pid !== null && lane.pid !== pid)) continue;
    const index = lane.stack.findIndex((frame: Frame) => frame[0] === path);
    if (index < 0) continue;
    const line = lane.stack[index]![1];
    const here = found.get(line) ?? { inner: [], outer: [] };
    (index === 0 ? here.inner : here.outer).push(lane.name);
    found.set(line, here);
  }
  return found;
}

interface LineProps {
  number: number;
  tokens: Token[];
  heat: LineHeat | undefined;
  measure: Measure;
  counts: Counts;
  most: number;
  isRunnable: boolean;
  here: Here | undefined;
  age: number;
  isWanted: boolean;
}

function Line({ number, tokens, heat, measure, counts, most, isRunnable, here, age, isWanted }: LineProps): JSX.Element {
  const isCold = isRunnable && !heat;
  return (
    <div class={`line ${isCold ? "cold" : ""} ${isWanted ? "wanted" : ""} ${here?.inner.length ? "now" : ""}`}>
      <Marker here={here} />
      <span class="number">{number}</span>
      {heat ? <Heat {...{ heat, measure, counts, most, age }} /> : <span class="heat" />}
      <code>
        {tokens.map(([text, kind]) => (kind ? <span class={kind}>{text}</span> : text))}
      </code>
    </div>
  );
}

function Marker({ here }: { here: Here | undefined }): JSX.Element {
  if (!here) return <span class="marker" />;
  const isInner = here.inner.length > 0;
  const who = isInner ? here.inner : here.outer;
  const names = who.slice(0, 8).join(", ") + (who.length > 8 ? ` and ${who.length - 8} more` : "");
  return <span class={`marker ${isInner ? "inner" : "outer"}`} title={`${isInner ? "here now" : "waits for what it has called"}: ${names}`}>{who.length}</span>;
}

function Heat({ heat, measure, counts, most, age }: { heat: LineHeat; measure: Measure; counts: Counts; most: number; age: number }): JSX.Element {
  const [hits, time, own, , error] = heat;
  const value = amount(heat, measure);
  // Hits of lines differ by orders of magnitude, time does not.
  const share = most <= 0 ? 0 : measure === "time" ? value / most : Math.log1p(value) / Math.log1p(most);
  const inner = measure === "time" && time > 0 ? Math.min(1, own / time) : 1;
  const bright = 0.3 + 0.7 * 0.5 ** (age / FADES);
  const about = error ? "≈" : "";
  const inTime = time > 0 ? `${duration(time)} with what it calls, ${duration(own)} without; ` : "";
  const title = `${inTime}${hitsInWords(hits, error, counts)}; last ${clock(age)} ago`;
  return (
    <span class="heat" title={title}>
      <i class="total" style={{ width: `${share * BAR}px`, opacity: bright * 0.45 }} />
      <i class="own" style={{ width: `${share * inner * BAR}px`, opacity: bright }} />
      <b>{measure === "hits" ? (counts === "ran" ? "✓" : about + short(hits)) : time > 0 ? brief(time) : ""}</b>
    </span>
  );
}

/** "≈ 12,000 ± 800 runs" */
function hitsInWords(hits: number, error: boolean | number, counts: Counts): string {
  if (counts === "ran") return "has run";
  if (counts === "looks") return `seen there at ${several(hits, "look")}`;
  const within = typeof error === "number" && error > 0 ? ` ± ${count(error)}` : "";
  return `${error ? "≈ " : ""}${count(hits)}${within} ${hits === 1 && !within ? "run" : "runs"}`;
}
