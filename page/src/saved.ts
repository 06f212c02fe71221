// A report that was saved: all of it is in the document, see README.md.

import type { Feed, State } from "./feed";
import type { FileHeat, LineHeat, Snapshot, SourceData, TimelineData } from "./types";

export interface Report {
  format: number;
  made: number; // when, Unix time
  /** The first one is whole; of the others, what is not there is as it was in the one before (lanes: by pid). */
  snapshots: (Partial<Snapshot> & { elapsed: number })[];
  timeline: TimelineData;
  /** By the ids of files; heats: as they were later and later, if they are there. */
  sources: Record<string, SourceData & { heats?: { at: number; heat: Record<string, LineHeat> }[] }>;
}

export class SavedFeed implements Feed {
  readonly length: number;
  private readonly snapshots: Snapshot[] = [];
  private at: number;
  private tell: (state: State) => void = () => {};

  constructor(private readonly report: Report) {
    for (const change of report.snapshots) this.snapshots.push(merged(this.snapshots.at(-1), change));
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

  async files(): Promise<FileHeat[]> {
    return this.snapshots.at(-1)?.files ?? [];
  }

  async source(_run: string, file: FileHeat): Promise<SourceData> {
    const found = this.report.sources[String(file.id ?? "")];
    if (!found) return { path: file.path, lines: [], heat: {}, runnable: [] };
    return { ...found, heat: found.heats?.findLast((heat) => heat.at <= this.at)?.heat ?? (found.heats ? {} : found.heat) };
  }

  async stack(): Promise<string> {
    throw new Error("a saved report has no full stacks");
  }

  async control(): Promise<void> {
    throw new Error("this is a saved report");
  }

  href(): null {
    return null;
  }
}

function merged(before: Snapshot | undefined, change: Partial<Snapshot>): Snapshot {
  if (!before) return change as Snapshot;
  const lanes = new Map(before.lanes.map((lane) => [lane.pid, lane]));
  for (const lane of change.lanes ?? []) lanes.set(lane.pid, { ...lanes.get(lane.pid), ...lane });
  return { ...before, ...change, lanes: [...lanes.values()] };
}
