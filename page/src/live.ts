// The observer, over HTTP: what happens comes as server-sent events, all else is asked for.

import type { Feed, State } from "./feed";
import type { Deed, Document, Figures, FileHeat, FullStack, Snapshot, SourceData, TimelineData } from "./types";

const SILENT = 13_000; // ms without news, after which the link is held to be lost
const FIRST_WAIT = 500;
const LONGEST_WAIT = 8_000;

export class LiveFeed implements Feed {
  readonly length = null;
  private state: State = { runs: [], link: "connecting", since: Date.now(), retryAt: 0 };
  private tell: (state: State) => void = () => {};
  private events: EventSource | null = null;
  private wait = FIRST_WAIT;
  private silence = 0;
  private timer = 0;

  start(tell: (state: State) => void): void {
    this.tell = tell;
    this.connect();
  }

  seek(): void {}

  retry(): void {
    clearTimeout(this.timer);
    this.connect();
  }

  past(): Snapshot[] {
    return [];
  }

  async history(run: string): Promise<Figures> {
    return get("history", { run });
  }

  async timeline(run: string, from: number, to: number, width: number): Promise<TimelineData> {
    return get("timeline", { run, from: from.toFixed(9), to: to.toFixed(9), width: Math.max(1, Math.round(width)) });
  }

  async files(run: string): Promise<FileHeat[]> {
    return get("files", { run });
  }

  async source(run: string, file: FileHeat, pid: number | null, isKnown: boolean): Promise<SourceData> {
    const id = file.id ?? (await this.files(run)).find((each) => each.path === file.path)?.id;
    if (id === undefined) throw new Error("the observer does not know this file");
    return get("source", { run, file: id, ...(pid === null ? {} : { pid }), ...(isKnown ? { lines: 0 } : {}) });
  }

  async stack(run: string, pid: number): Promise<FullStack> {
    return get("stack", { run, pid });
  }

  async control(run: string, pid: number, deed: Deed): Promise<void> {
    const answer = await fetch("control", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ run, pid, do: deed }),
    });
    if (!answer.ok) throw new Error((await answer.text()).trim() || `the observer answered ${answer.status}`);
    const { done, why } = (await answer.json()) as { done: boolean; why?: string };
    if (!done) throw new Error(why ?? "it has not been done");
  }

  href(document: Document, run: string): string {
    return `${document}?run=${encodeURIComponent(run)}`;
  }

  private connect(): void {
    this.events?.close();
    const events = (this.events = new EventSource("events"));
    this.hearAgain();
    events.onmessage = (event: MessageEvent<string>) => {
      const said = JSON.parse(event.data) as { runs: Snapshot[] };
      this.wait = FIRST_WAIT;
      this.change({ link: "live", runs: said.runs });
      this.hearAgain();
    };
    events.onerror = () => this.lose();
  }

  /** While a run is under way there is something new each second. What says that the observer is there, otherwise, no script is told of. */
  private hearAgain(): void {
    clearTimeout(this.silence);
    const isRunning = this.state.runs.some((run) => run.state === "running");
    if (isRunning || this.state.link !== "live") this.silence = setTimeout(() => this.lose(), SILENT);
  }

  /** The browser would try again by itself, but not after each kind of error, and would not say when. */
  private lose(): void {
    this.events?.close();
    this.events = null;
    clearTimeout(this.silence);
    clearTimeout(this.timer);
    this.change({ link: "lost", retryAt: Date.now() + this.wait });
    this.timer = setTimeout(() => this.connect(), this.wait);
    this.wait = Math.min(LONGEST_WAIT, this.wait * 2);
  }

  private change(what: Partial<State>): void {
    const since = what.link && what.link !== this.state.link ? Date.now() : this.state.since;
    this.state = { ...this.state, ...what, since };
    this.tell(this.state);
  }
}

async function get<Answer>(path: string, parameters: Record<string, string | number>): Promise<Answer> {
  const query = new URLSearchParams(Object.entries(parameters).map(([key, value]) => [key, String(value)]));
  const answer = await fetch(`${path}?${query}`);
  if (!answer.ok) throw new Error(`the observer answered ${answer.status}`);
  return (await answer.json()) as Answer;
}
