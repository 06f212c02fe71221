// One worker, on demand: its full stack, its task, and what may be done to it where control is switched on.

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Feed } from "./feed";
import { bytes, clock, count, percent, several } from "./format";
import { Frames, type Open } from "./panels";
import { type Deed, type FullStack as Stacks, type Lane, type Snapshot, isLost, isWorker } from "./types";

interface Props {
  feed: Feed;
  run: Snapshot;
  lane: Lane;
  canControl: boolean;
  close: () => void;
  open: Open;
  showLines: () => void;
}

export function Worker({ feed, run, lane, canControl, close, open, showLines }: Props): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current!.showModal();
  }, []);
  const wasLost = isLost(lane);
  return (
    <dialog
      class="worker"
      ref={dialog}
      aria-label={lane.name}
      onClose={close}
      onClick={(event) => event.target === dialog.current && dialog.current!.close()}
    >
      <div class="inside">
        <header>
          <h2>{lane.name}</h2>
          <span class={`state ${wasLost ? "died" : lane.state}`}>{wasLost ? "lost" : lane.state}</span>
          <span class="grow" />
          <button class="small" onClick={() => dialog.current!.close()}>Close</button>
        </header>
        {wasLost && <p class="bad">{lane.how || "It was lost."}</p>}
        <dl class="facts">
          <div><dt>process</dt><dd>{lane.process ?? lane.pid}</dd></div>
          <div><dt>busy</dt><dd>{percent(lane.busy)}</dd></div>
          <div><dt>processor</dt><dd>{percent(lane.cpu)}</dd></div>
          <div><dt>memory</dt><dd>{bytes(lane.memory)}</dd></div>
          <div><dt>tasks</dt><dd>{count(lane.tasks)}</dd></div>
        </dl>
        {lane.state !== "gone" && isWorker(lane) && (
          <>
            <h3>{lane.task ? `Task ${count(lane.task.number)}, for ${clock(lane.task.for)}` : lane.state === "busy" ? "Short tasks" : "No task"}</h3>
            <pre class="call">{lane.task ? `${lane.task.function}(${lane.task.arguments})` : (lane.state === "busy" && lane.function) || "–"}</pre>
          </>
        )}
        <div class="deeds">
          <button onClick={() => { showLines(); dialog.current!.close(); }}>Show its lines only</button>
          {canControl && lane.state !== "gone" && lane.role === "worker" && <Deeds {...{ feed, run, lane }} />}
          {canControl && lane.state !== "gone" && lane.role !== "worker" && (
            <span class="muted">Only workers that are processes of manyhands can be paused, replaced, and their task be cancelled.</span>
          )}
        </div>
        {lane.state !== "gone" && <h3>Where it is</h3>}
        {lane.state === "gone" ? (
          <p class="muted">It has gone{lane.ended === null || lane.ended === undefined ? "" : ` after ${clock(lane.ended - (lane.begun ?? 0))}`}.</p>
        ) : lane.stack.length ? (
          <Frames frames={lane.stack} open={(path, line) => { open(path, line); dialog.current!.close(); }} />
        ) : (
          <p class="muted">It is not at work.</p>
        )}
        {feed.length === null && lane.state !== "gone" && <FullStack {...{ feed, run, lane }} />}
      </div>
    </dialog>
  );
}

/** Of all threads, from outside Python: also while C code holds the lock of the interpreter. */
function FullStack({ feed, run, lane }: { feed: Feed; run: Snapshot; lane: Lane }): JSX.Element {
  const [{ text, own }, setText] = useState<Stacks>({ text: "Asking…" });
  const ask = (): void => void feed.stack(run.id, lane.process ?? lane.pid).then(
    (told) => setText({ ...told, text: told.text.trim() || "It has told nothing." }),
    (error: Error) => setText({ text: `It cannot be had: ${error.message}` }),
  );
  useEffect(ask, [lane.pid]);
  return (
    <>
      <h3>All threads <button class="small" onClick={ask}>Look again</button></h3>
      <pre class="full-stack" tabIndex={0}>
        {folded(text, own).map(([lines, isOwn]) => (isOwn ? <Own lines={lines} /> : `${lines.join("\n")}\n`))}
      </pre>
    </>
  );
}

/** Lines, those that follow one another and are frames of manyhands together. */
function folded(text: string, own: string | undefined): [lines: string[], isOwn: boolean][] {
  const found: [string[], boolean][] = [];
  for (const line of text.split("\n")) {
    const isOwn = own !== undefined && line.includes(`"${own}`);
    const last = found.at(-1);
    if (last && last[1] === isOwn) last[0].push(line);
    else found.push([[line], isOwn]);
  }
  return found;
}

function Own({ lines }: { lines: string[] }): JSX.Element {
  return (
    <details class="own">
      <summary>… {several(lines.length, "frame")} of manyhands</summary>
      {lines.join("\n")}
    </details>
  );
}

function Deeds({ feed, run, lane }: { feed: Feed; run: Snapshot; lane: Lane }): JSX.Element {
  const [said, setSaid] = useState("");
  const act = (deed: Deed): void => {
    setSaid(`${deed}: asked`);
    feed.control(run.id, lane.pid, deed).then(
      () => setSaid(`${deed}: done`),
      (error: Error) => setSaid(error.message),
    );
  };
  const isPaused = lane.state === "paused";
  return (
    <>
      <button onClick={() => act(isPaused ? "resume" : "pause")}>{isPaused ? "Resume" : "Pause"}</button>
      <button disabled={lane.state === "idle" && !lane.task} onClick={() => act("cancel")}>Cancel its task</button>
      <button class="danger" title="It ends its task, and is replaced." onClick={() => act("restart")}>Restart after its task</button>
      <span class="muted" aria-live="polite">{said}</span>
    </>
  );
}
