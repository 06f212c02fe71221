// Stacks, errors, calls, shared objects and the cache.

import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { baseName, brief, clock, count, duration, percent, plainName, several, short } from "./format";
import type { Failure, Frame, Snapshot, Stack } from "./types";

export type Open = (path: string, line: number) => void;

export function Stacks({ run, open }: { run: Snapshot; open: Open }): JSX.Element {
  // They change some times a second; nobody could point at one of them otherwise.
  const [held, hold] = useState<Stack[] | null>(null);
  const stacks = held ?? run.stacks;
  const note = held ? "held while you are here" : stacks.length ? several(stacks.length, "stack", "different stacks") : "";
  return (
    <Panel name="stacks" title="Where they are" note={note}>
      <div
        class="all"
        onPointerEnter={() => hold(run.stacks)}
        onPointerLeave={() => hold(null)}
        onFocusCapture={() => hold((old) => old ?? run.stacks)}
        onBlurCapture={() => hold(null)}
      >
        {stacks.length === 0 && <p class="empty">{run.state === "running" ? "Nobody is at work." : "It is over."}</p>}
        {stacks.map((stack) => <OneStack key={keyOf(stack)} stack={stack} open={open} />)}
      </div>
    </Panel>
  );
}

/** "solve" → "solve()"; what is no function has its own brackets: <module> */
const called = (name: string): string => (name.startsWith("<") ? name : `${name}()`);

const keyOf = (stack: Stack): string => stack.frames.map((frame) => frame.join(":")).join("\n");

function OneStack({ stack, open }: { stack: Stack; open: Open }): JSX.Element {
  const [top, ...callers] = stack.frames;
  if (!top) return <></>;
  return (
    <details class="stack">
      <summary>
        <b class="count">{stack.count}</b>
        <span class="where"> in <b>{called(top[2])}</b> <span class="place">{baseName(top[0])}:{top[1]}</span></span>
        <span class="callers">{callers.slice(0, 4).map((frame) => ` ‹ ${frame[2]}`)}</span>
      </summary>
      <Frames frames={stack.frames} open={open} />
    </details>
  );
}

export function Frames({ frames, open }: { frames: Frame[]; open: Open }): JSX.Element {
  return (
    <ol class="frames">
      {frames.map(([path, line, name]) => (
        <li>
          <button class="link" title={`${path}:${line}`} onClick={() => open(path, line)}>
            <b>{name}</b> <span class="place">{baseName(path)}:{line}</span>
          </button>
        </li>
      ))}
    </ol>
  );
}

export function Errors({ run }: { run: Snapshot }): JSX.Element {
  return (
    <Panel name="errors" title="Exceptions" note={failures(run)} isBad={run.failed > 0}>
      {run.errors.length === 0 && <p class="empty">None so far.</p>}
      {run.errors.map((failure, index) => (
        <OneError key={`${failure.kind} ${failure.message}`} failure={failure} isFirst={index === 0} ago={Math.max(0, run.elapsed - failure.last)} />
      ))}
    </Panel>
  );
}

/** How many tasks failed for good, and how many attempts, where some were made again. */
function failures(run: Snapshot): string {
  const attempts = run.errors.reduce((sum, failure) => sum + (failure.attempts ?? failure.count), 0);
  const parts = [run.failed ? several(run.failed, "failure") : "", attempts > run.failed ? several(attempts, "failed attempt") : ""];
  return parts.filter(Boolean).join(", ");
}

const SHOWN_GIVEN = 3;
const UNDERLINE = /^[ ~^]+\r?\n/gm; // of what failed in a line, where Python tells: these lines are broken where they are long

function OneError({ failure, isFirst, ago }: { failure: Failure; isFirst: boolean; ago: number }): JSX.Element {
  const { kind, message, tasks, traceback, given = [] } = failure;
  const [isOpen, setOpen] = useState(isFirst); // of what came first; others do not open by themselves
  return (
    <details class="error" open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary title={message}>
        <b class="count">{count(failure.count || (failure.attempts ?? 0))}</b>
        <span class="where"><b class="bad">{kind}</b> {message}</span>
      </summary>
      <p class="muted">
        {failure.function && `in ${plainName(failure.function)}(), `}last {clock(ago)} ago{failure.count === 0 && "; tried again"}
        {tasks.length > 0 && `; task${tasks.length > 1 ? "s" : ""} ${tasks.slice(0, 8).map(count).join(" · ")}${failure.count > 8 ? " …" : ""}`}
      </p>
      {given.slice(0, SHOWN_GIVEN).map((each) => <Given key={each.task} {...each} />)}
      {traceback && <pre tabIndex={0}>{traceback.replace(UNDERLINE, "").trimEnd()}</pre>}
    </details>
  );
}

/** Which task it was, and how to run it again. */
function Given({ task, call, replay }: { task: number; call: string; replay: string }): JSX.Element {
  return (
    <p class="given">
      {call ? `task ${count(task)}: ${call}` : `task ${count(task)}`}
      {replay && <code title="Runs the task again in this terminal; with --pdb under a debugger">{replay}</code>}
    </p>
  );
}

export function Calls({ run }: { run: Snapshot }): JSX.Element {
  return (
    <Panel name="calls" title="Calls" note={several(run.calls.length, "call")}>
      <table>
        <tbody>
          {[...run.calls].reverse().map((call) => (
            <tr key={call.number} class={call.is_over ? "" : "current"}>
              <th scope="row" title={`${call.function}, ${call.workers} workers, ${call.backend}`}>{plainName(call.function)}</th>
              <td class="bar-cell"><i style={{ width: `${(call.total ? Math.min(1, call.done / call.total) : call.is_over ? 1 : 0) * 100}%` }} /></td>
              <td>{short(call.done)}{call.total !== null && ` / ${short(call.total)}`}</td>
              <td>{brief(call.lasted)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}

export function Shared({ run }: { run: Snapshot }): JSX.Element {
  return (
    <Panel name="shared" title="Shared objects" note={several(run.shared.length, "object")}>
      <table>
        <thead><tr><th scope="col">object</th><th scope="col">calls</th><th scope="col" title="waited for locks">waited</th></tr></thead>
        <tbody>
          {[...run.shared].sort((one, other) => other.waited - one.waited || other.calls - one.calls).map((each) => (
            <tr key={each.object}>
              <th scope="row" title={each.object}>{each.object}</th>
              <td>{short(each.calls)}</td>
              <td title={each.waits === undefined ? undefined : several(each.waits, "wait")}>{brief(each.waited)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}

export function Cache({ run }: { run: Snapshot }): JSX.Element {
  return (
    <Panel name="cache" title="Cache" note={`${duration(run.saved)} saved`}>
      <table>
        <thead><tr><th scope="col">function</th><th scope="col">hits</th><th scope="col" title="share of calls">share</th><th scope="col">saved</th></tr></thead>
        <tbody>
          {[...run.cache].sort((one, other) => other.saved - one.saved).map((each) => (
            <tr key={each.function}>
              <th scope="row" title={each.function}>{plainName(each.function)}</th>
              <td>{short(each.hits)}</td>
              <td>{percent(each.hits / Math.max(1, each.hits + each.misses))}</td>
              <td>{brief(each.saved)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}

interface PanelProps {
  name: string;
  title: string;
  note?: string;
  isBad?: boolean;
  children: ComponentChildren;
}

function Panel({ name, title, note, isBad, children }: PanelProps): JSX.Element {
  return (
    <section class={`panel ${name}`} aria-label={title}>
      <header>
        <h2>{title}</h2>
        <span class="grow" />
        {note && <span class={isBad ? "note bad" : "note"}>{note}</span>}
      </header>
      <div class="content">{children}</div>
    </section>
  );
}
