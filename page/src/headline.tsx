// What one wants to know first: how far it is, how long it takes, how well it goes, and what to do about it.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Feed, State } from "./feed";
import { brieflyBytes, bytes, clock, count, duration, percent, several, short } from "./format";
import type { History } from "./history";
import { Spark } from "./spark";
import type { Snapshot } from "./types";

const SERIOUS = new Set(["failing", "memory"]); // kinds of verdicts
const WORDS: Record<string, string> = { running: "running", done: "done", failed: "failed", interrupted: "interrupted", died: "died" };

export function stateWord(run: Snapshot): string {
  return WORDS[run.state] ?? run.state;
}

export function Headline({ run, history }: { run: Snapshot; history: History }): JSX.Element {
  const failures = run.total ? run.failed / Math.max(1, run.done) : 0;
  const isOver = run.state !== "running";
  const rate = isOver ? run.done / Math.max(1e-3, run.elapsed) : run.rate;
  // What has gone uses nothing: then the most that was seen says more.
  const seen = (values: number[]): number => (isOver ? Math.max(0, ...values) : (values.at(-1) ?? 0));
  const [cpu, memory] = [seen(history.cpu), seen(history.memory)];
  const most = isOver ? "at most, as far as this page has seen it; " : "";
  const { times } = history;
  return (
    <section class="headline panel" aria-label="Summary">
      <div class="run">
        <h1 title={run.name}>{run.name}</h1>
        <span class={`state ${run.state}`}>{stateWord(run)}</span>
        <span class="elapsed">{clock(run.elapsed)}</span>
      </div>
      <Progress run={run} />
      <dl class="tiles">
        <Tile name="rate" value={short(rate)} unit="/s" title={`${count(rate)} tasks a second, ${isOver ? "on average" : "of late"}`}>
          <Spark times={times} values={history.rate} words={(value) => `${short(value)}/s`} />
        </Tile>
        <Tile name="efficiency" value={run.efficiency === null ? "–" : percent(run.efficiency)} title="share of the workers' time that went into tasks; the chart: workers at work">
          <Spark times={times} values={history.working} most={1.05} words={(value) => `${percent(value)} at work`} />
        </Tile>
        <Tile name="processors" value={isOver && !cpu ? "–" : cpu.toFixed(1)} unit={run.processors ? `of ${run.processors}` : ""} title={`${most}processor time used for each second`}>
          <Spark times={times} values={history.cpu} words={(value) => value.toFixed(1)} />
        </Tile>
        <Tile name="memory" value={isOver && !memory ? "–" : bytes(memory)} title={`${most}of all processes, without what they share`}>
          <Spark times={times} values={history.memory} words={bytes} />
        </Tile>
        <Tile name="failures" value={count(run.failed)} kind={run.failed ? "bad" : ""} below={run.failed && failures ? `${percent(failures)} of tasks` : "none so far"} />
        <Tile name="cache hits" value={run.cached >= 1e5 ? short(run.cached) : count(run.cached)} below={run.cached ? `${duration(run.saved)} saved` : "nothing cached"} />
        <Tile
          name="data moved"
          value={bytes(run.sent + run.received - (run.spared ?? 0))}
          below={run.spared ? `${bytes(run.spared)} saved` : run.sent || run.received ? `↑ ${brieflyBytes(run.sent)} ↓ ${brieflyBytes(run.received)}` : "nothing yet"}
          title={`${bytes(run.sent)} sent to workers, ${bytes(run.received)} received${run.spared ? `; ${bytes(run.spared)} of that did not have to be moved, since workers see it already` : ""}`}
        />
        <Tile name="watching" value={percent(run.cost)} {...watchingBelow(run)} />
      </dl>
    </section>
  );
}

function watchingBelow(run: Snapshot): { below: string; title: string } {
  const title = "what watching takes of the time of the watched processes";
  if (run.lost) return { below: `${short(run.lost)} events missed`, title: `${title}; the observer got no processor in time for ${count(run.lost)} events, so that figures of tasks are too low` };
  return { below: run.level ? `level ${run.level}` : "of their time", title };
}

interface TileProps {
  name: string;
  value: string;
  unit?: string;
  kind?: string;
  below?: string;
  title?: string;
  children?: ComponentChildren;
}

function Tile({ name, value, unit, kind, below, title, children }: TileProps): JSX.Element {
  return (
    <div class="tile" title={title}>
      <dt>{name}</dt>
      <dd class={kind}>{value}{unit && <small> {unit}</small>}</dd>
      {children ?? <dd class="below">{below}</dd>}
    </div>
  );
}

function Progress({ run }: { run: Snapshot }): JSX.Element {
  const share = run.total ? Math.min(1, run.done / run.total) : null;
  const isRunning = run.state === "running";
  return (
    <div class="progress">
      <div class="numbers">
        <span class={runsNoTasks(run) ? "muted" : ""}><b>{runsNoTasks(run) ? "no" : count(run.done)}</b>{run.total === null ? " tasks" : ` of ${several(run.total, "task")}`}</span>
        {share !== null && <span class="share">{Math.floor(share * 100)} %</span>}
        <span class="grow" />
        {isRunning && run.eta && (
          <span class="eta" title="until all tasks that are known have ended, and the likely error of that">
            <b>{duration(run.eta[0])}</b> ± {duration(run.eta[1])} left
          </span>
        )}
        {isRunning && !run.eta && run.total !== null && run.done < run.total && <span class="eta">time left unknown</span>}
      </div>
      <div
        class={`bar ${run.state} ${share === null ? "unknown" : ""}`}
        role="progressbar"
        aria-label="tasks done"
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={share === null ? undefined : Math.floor(share * 100)}
      >
        <i style={{ width: `${(share ?? (run.done ? 1 : 0)) * 100}%` }} />
        {run.failed > 0 && run.total ? <i class="failed" style={failedPart(run.failed / run.total, share ?? 1)} /> : null}
      </div>
    </div>
  );
}

/** At the end of what is done, and wide enough to be seen. */
function failedPart(failed: number, done: number): { width: string; left: string } {
  const width = Math.min(done, Math.max(0.006, failed));
  return { width: `${width * 100}%`, left: `${(done - width) * 100}%` };
}

/** One line in words: the link to the observer if it is lost, how the program has ended, and the verdict. */
export function Words({ run, state, feed }: { run: Snapshot; state: State; feed: Feed }): JSX.Element {
  const verdict = readable(run);
  const isOver = run.state !== "running";
  return (
    <div class="words">
      {state.link === "lost" && <LostLink state={state} feed={feed} isOver={state.runs.every((each) => each.state !== "running")} />}
      {isOver && (
        <p class={`ending ${run.state}`}>
          <b>{endWords(run)}</b>
          {run.how && <span title={run.how}>{run.how}</span>}
        </p>
      )}
      {verdict && state.link !== "lost" && (
        <p class={`verdict ${verdict.level}`}>
          <span>{verdict.text}</span>
          {verdict.remedy && <span class="remedy">{verdict.remedy}</span>}
        </p>
      )}
    </div>
  );
}

function endWords(run: Snapshot): string {
  const after = `after ${clock(run.elapsed)}`;
  const words: Record<string, string> = {
    done: `Done ${after}.`,
    failed: `The program failed ${after}.`,
    interrupted: `Interrupted ${after}.`,
    died: `The program died ${after}.`,
  };
  return words[run.state] ?? `The program is ${run.state}.`;
}

const NO_TASKS_AFTER = 1.5; // seconds

/** Whether there is nothing that would count as a task, as far as is known. */
export function runsNoTasks(run: Snapshot): boolean {
  return run.elapsed > NO_TASKS_AFTER && !run.done && run.calls.length === 0 && !run.lanes.some((lane) => lane.task);
}

function readable(run: Snapshot): { text: string; remedy: string; level: string } | null {
  const { verdict } = run;
  if (!verdict) {
    if (run.done) return null;
    if (runsNoTasks(run)) return { text: `This program ${run.state === "running" ? "runs" : "ran"} no tasks: its lines and stacks are shown.`, remedy: "", level: "plain" };
    return run.state === "running" ? { text: "Waiting for the first task to end.", remedy: "", level: "good" } : null;
  }
  const level = verdict.kind === "good" ? "good" : SERIOUS.has(verdict.kind) ? "bad" : "fair";
  return { text: sentence(verdict.text), remedy: sentence(verdict.remedy), level };
}

const sentence = (text: string): string => text && text[0]!.toUpperCase() + text.slice(1) + (/[.!?)]$/.test(text) ? "" : ".");

function LostLink({ state, feed, isOver }: { state: State; feed: Feed; isOver: boolean }): JSX.Element {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, []);
  const wait = Math.ceil(Math.max(0, state.retryAt - now) / 1000);
  const again = wait > 0 ? `next try in ${wait} s` : "trying again";
  return (
    <p class={isOver && state.runs.length ? "lost calm" : "lost"}>
      <b>{isOver && state.runs.length ? "The observer has ended, since nothing runs any more." : "The observer does not answer."}</b>
      <span>What you see is {clock(Math.max(0, now - state.since) / 1000)} old; {again}.</span>
      <button class="small" onClick={() => feed.retry()}>Try now</button>
    </p>
  );
}
