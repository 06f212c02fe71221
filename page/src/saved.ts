// A report that was saved: all of it is in the document, see README.md.

import type { Feed, State } from "./feed";
import type { Call, Figures, FileHeat, Frame, Lane, LineHeat, Snapshot, SourceData, Stack, Task, TimelineData } from "./types";

/** Frames of stacks are numbers, tasks have when they began, and a call that is under way has no length. */
type SavedLane = Omit<Lane, "stack" | "task"> & { stack: number; task: (Omit<Task, "for"> & { since: number }) | null };
type SavedSnapshot = Omit<Snapshot, "lanes" | "stacks"> & { lanes: SavedLane[] };
type Listed = keyof typeof KEYS;
type Change = Partial<SavedSnapshot> & { elapsed: number; left?: Partial<Record<Listed, unknown[]>> };

export interface Report {
  format: number;
  made: number; // when, Unix time
  /** The first one is whole; of the others, what is not there is as it was in the one before; of lists, items that are not there, too. */
  snapshots: Change[];
  frames: Frame[];
  stacks: number[][];
  timeline: TimelineData;
  /** By the ids of files; heats: what had changed at some times, if they are there. */
  sources: Record<string, SourceData & { heats?: { at: number; heat: Record<string, LineHeat> }[] }>;
}

/** What the items of lists are known by. */
const KEYS = { lanes: "pid", files: "id", calls: "id", errors: "id", cache: "function", shared: "object" } as const;

export class SavedFeed implements Feed {
  readonly length: number;
  private readonly snapshots: Snapshot[] = [];
  private at: number;
  private tell: (state: State) => void = () => {};

  constructor(private readonly report: Report) {
    const frames = report.stacks.map((stack) => stack.map((frame) => report.frames[frame]!));
    let known: SavedSnapshot | undefined;
    for (const change of report.snapshots) {
      known = merged(known, change);
      this.snapshots.push(shown(known, frames));
    }
    this.length = this.snapshots.at(-1)?.elapsed ?? 0;
    this.at = this.length;
  }

  start(tell: (state: State) => void): void {
    this.tell = tell;
    this.seek(this.length);
  }

  seek(at: number): void {
    this.at = at;
    const found = this.snapshots.findLast((snapshot) => snapshot.elapsed <= at) ?? this.snapshots[0];
    const runs = found ? [{ ...found, elapsed: Math.min(at, this.length) }] : [];
    this.tell({ runs, link: "saved", since: this.report.made * 1000, retryAt: 0 });
  }

  retry(): void {}

  past(): Snapshot[] {
    return this.snapshots.filter((snapshot) => snapshot.elapsed <= this.at);
  }

  async timeline(_run: string, from: number, to: number): Promise<TimelineData> {
    const { functions, lanes } = this.report.timeline;
    return { functions, lanes: lanes.map(({ pid, bars }) => ({ pid, bars: bars.filter(([begin, end]) => end >= from && begin < to) })) };
  }

  async history(): Promise<Figures | null> {
    return null; // it is told by past()
  }

  async files(): Promise<FileHeat[]> {
    return this.snapshots.at(-1)?.files ?? [];
  }

  async source(_run: string, file: FileHeat): Promise<SourceData> {
    const found = this.report.sources[String(file.id ?? "")];
    if (!found) return { path: file.path, lines: [], heat: {}, runnable: [] };
    return { ...found, heat: found.heats && this.at < this.length ? heatAt(found.heats, this.at) : found.heat };
  }

  async stack(): Promise<never> {
    throw new Error("a saved report has no full stacks");
  }

  async control(): Promise<void> {
    throw new Error("this is a saved report");
  }

  href(): null {
    return null;
  }
}

function heatAt(heats: { at: number; heat: Record<string, LineHeat> }[], at: number): Record<string, LineHeat> {
  return Object.assign({}, ...heats.filter((each) => each.at <= at).map((each) => each.heat)) as Record<string, LineHeat>;
}

function merged(before: SavedSnapshot | undefined, change: Change): SavedSnapshot {
  if (!before) return change as SavedSnapshot;
  const after = { ...before, ...change };
  for (const name of Object.keys(KEYS) as Listed[]) {
    const [items, changed] = [before[name], change[name]] as unknown as Record<string, unknown>[][];
    const key = KEYS[name];
    const known = new Map((items ?? []).map((item) => [item[key], item]));
    for (const gone of change.left?.[name] ?? []) known.delete(gone);
    for (const item of changed ?? []) known.set(item[key], { ...known.get(item[key]), ...item });
    Object.assign(after, { [name]: [...known.values()] });
  }
  return after;
}

function shown(saved: SavedSnapshot, frames: Frame[][]): Snapshot {
  const lanes = saved.lanes.map((lane): Lane => {
    const { task } = lane;
    return { ...lane, stack: frames[lane.stack] ?? [], task: task && { ...task, for: Math.max(0, saved.elapsed - task.since) } };
  });
  return {
    ...saved,
    lanes,
    stacks: grouped(saved.lanes, frames),
    files: saved.files.toSorted((one, other) => other.own - one.own || other.hits - one.hits),
    errors: saved.errors.toSorted((one, other) => other.count - one.count),
    calls: saved.calls.map((call): Call => ({ ...call, lasted: call.lasted ?? saved.elapsed - call.begun })),
  };
}

/** Where everybody is, equal stacks once. */
function grouped(lanes: SavedLane[], frames: Frame[][]): Stack[] {
  const found = new Map<number, number[]>();
  for (const lane of lanes) {
    if (lane.state !== "gone" && lane.role !== "thread" && frames[lane.stack]?.length) found.set(lane.stack, [...(found.get(lane.stack) ?? []), lane.pid]);
  }
  return [...found].map(([stack, pids]) => ({ count: pids.length, pids, frames: frames[stack]! })).sort((one, other) => other.count - one.count);
}
