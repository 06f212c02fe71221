// The page.

import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Feed, State } from "./feed";
import { clock } from "./format";
import { Headline, Words, runsNoTasks, stateWord } from "./headline";
import { History } from "./history";
import { Lanes } from "./lanes";
import { Cache, Calls, Errors, Shared, Stacks } from "./panels";
import { Slider } from "./slider";
import { Source, type Place } from "./source";
import { FunctionColours } from "./timeline/colours";
import type { Zoom } from "./timeline/view";
import { type Snapshot, isLost } from "./types";
import { Worker } from "./worker";

const COUNTED = new Set(["auto", "exact"]); // levels of who wants to know of lines
const FEW = 14; // processes; with more, their lanes have all of the height

export function App({ feed }: { feed: Feed }): JSX.Element {
  const [state, setState] = useState<State>({ runs: [], link: "connecting", since: Date.now(), retryAt: 0 });
  const [chosen, choose] = useState<string | null>(null);
  useEffect(() => feed.start(setState), [feed]);
  const run = state.runs.find((each) => each.id === chosen) ?? state.runs.findLast((each) => each.state === "running") ?? state.runs.at(-1);
  // Who looks at a run stays there, when another one begins.
  useEffect(() => {
    if (run && chosen === null && state.runs.length > 0) choose(run.id);
  }, [run?.id]);
  useEffect(() => {
    document.title = run ? titleOf(run) : "manyhands";
  });
  return (
    <>
      <TopBar {...{ feed, state, choose }} run={run} />
      {run ? <RunPage key={run.id} {...{ feed, state, run }} /> : <Nothing state={state} feed={feed} />}
      {feed.length !== null && run && <Slider feed={feed} at={run.elapsed} />}
    </>
  );
}

function titleOf(run: Snapshot): string {
  const done = run.state === "running" ? (run.total ? `${Math.floor((run.done / run.total) * 100)} %` : clock(run.elapsed)) : stateWord(run);
  return `${done} · ${run.name} · manyhands`;
}

interface BarProps {
  feed: Feed;
  state: State;
  run: Snapshot | undefined;
  choose: (run: string) => void;
}

function TopBar({ feed, state, run, choose }: BarProps): JSX.Element {
  return (
    <header class="top">
      <Mark />
      <nav aria-label="runs">
        {state.runs.map((each) => (
          <button key={each.id} class={`tab ${each.state}`} aria-current={each.id === run?.id ? "page" : undefined} onClick={() => choose(each.id)}>
            <i class="dot" />
            {each.name}
            <small>{each.state === "running" ? (each.total ? `${Math.floor((each.done / each.total) * 100)} %` : clock(each.elapsed)) : stateWord(each)}</small>
          </button>
        ))}
      </nav>
      <span class="grow" />
      {run && feed.length === null && (
        <span class="documents">
          {DOCUMENTS.map(([name, word, title]) => (
            <a href={feed.href(name, run.id)!} download="" title={title}>{word}</a>
          ))}
        </span>
      )}
      <span class={`link-state ${state.link}`} role="status">{LINKS[state.link]}</span>
    </header>
  );
}

const DOCUMENTS = [
  ["report", "Report", "Download this page as one HTML file, which shows the run again without a network"],
  ["trace", "Trace", "Download the tasks over time, for ui.perfetto.dev or chrome://tracing (.trace.json)"],
  ["speedscope", "Speedscope", "Download the stacks, for speedscope.app (.speedscope.json)"],
  ["log", "Log", "Download all that has happened, a JSON object on each line (.jsonl)"],
] as const;
const LINKS: Record<State["link"], string> = { connecting: "connecting", live: "live", lost: "no connection", saved: "saved report" };

function Mark(): JSX.Element {
  return (
    <span class="mark">
      <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
        <rect x="1" y="2" width="9" height="3" rx="1" />
        <rect x="4" y="6.5" width="11" height="3" rx="1" />
        <rect x="2" y="11" width="7" height="3" rx="1" />
      </svg>
      manyhands
    </span>
  );
}

function Nothing({ state, feed }: { state: State; feed: Feed }): JSX.Element {
  return (
    <main class="nothing">
      {state.link === "lost" ? (
        <p>The observer does not answer. <button class="small" onClick={() => feed.retry()}>Try now</button></p>
      ) : (
        <p>{state.link === "connecting" ? "Connecting…" : "Nothing runs that is watched."}</p>
      )}
    </main>
  );
}

function RunPage({ feed, state, run }: { feed: Feed; state: State; run: Snapshot }): JSX.Element {
  const history = useHistory(feed, run);
  const colours = useColours(run);
  const [zoom, setZoom] = useState<Zoom>(null);
  const [pid, setPid] = useState<number | null>(null);
  const [place, setPlace] = useState<Place | null>(null);
  const [looked, lookAt] = useState<number | null>(null);
  const open = (path: string | null, line = 0): void => setPlace((old) => (path === null ? null : { path, line, number: (old?.number ?? 0) + 1 }));
  const lane = run.lanes.find((each) => each.pid === looked);
  const hasCalls = run.calls.length > 1 && (run.shared.length === 0 || run.cache.length === 0);
  const extras = [hasCalls, run.shared.length > 0, run.cache.length > 0].filter(Boolean).length;
  return (
    <main class={`page ${run.lanes.length > FEW ? "many" : "few"} extras-${extras} ${COUNTED.has(run.level ?? "") && runsNoTasks(run) ? "lines-first" : ""}`}>
      <Headline run={run} history={history} />
      <Words run={run} state={state} feed={feed} />
      <Lanes {...{ feed, run, colours, zoom, setZoom }} choose={lookAt} />
      <Source {...{ feed, run, pid, setPid, place }} setPlace={open} />
      <div class="more-panels">
        <Stacks run={run} open={open} />
        <Errors run={run} />
        {hasCalls && <Calls run={run} />}
        {run.shared.length > 0 && <Shared run={run} />}
        {run.cache.length > 0 && <Cache run={run} />}
      </div>
      {lane && (
        <Worker
          key={lane.pid}
          {...{ feed, run, lane, open }}
          canControl={run.control === true}
          close={() => lookAt(null)}
          showLines={() => setPid(lane.pid)}
        />
      )}
      <Spoken run={run} state={state} />
    </main>
  );
}

function useHistory(feed: Feed, run: Snapshot): History {
  const kept = useMemo(() => new History(), []);
  const [, hasCome] = useState(false);
  useEffect(() => {
    feed.history(run.id).then((before) => {
      if (before) kept.prepend(before);
      hasCome(true);
    }, () => {}); // without it, the charts begin now
  }, []);
  const history = feed.length === null ? kept : new History();
  for (const snapshot of feed.past()) history.note(snapshot);
  history.note(run);
  return history;
}

/** The functions of calls and of what runs have their colours before the timeline knows of them, so that these do not change. */
function useColours(run: Snapshot): FunctionColours {
  const colours = useMemo(() => new FunctionColours(), []);
  const names = [...run.calls.map((call) => call.function), ...run.lanes.map((lane) => lane.task?.function ?? "")];
  for (const name of names.sort()) if (name) colours.of(name);
  return colours;
}

/** What a screen reader says by itself: states, not figures. */
function Spoken({ run, state }: { run: Snapshot; state: State }): JSX.Element {
  const known = useRef(new Set(run.lanes.filter(isLost).map((lane) => lane.pid)));
  const [lost, setLost] = useState("");
  useEffect(() => {
    const news = run.lanes.filter((lane) => isLost(lane) && !known.current.has(lane.pid));
    for (const lane of news) known.current.add(lane.pid);
    if (news.length) setLost(news.map((lane) => `${lane.name} was lost: ${lane.how}.`).join(" "));
  });
  return (
    <div class="spoken" aria-live="polite">
      <span>{run.name}: {stateWord(run)}{run.state !== "running" && run.how ? `, ${run.how}` : ""}.</span>
      <span>{state.link === "lost" ? "The connection to the observer is lost." : ""}</span>
      <span>{lost}</span>
    </div>
  );
}
