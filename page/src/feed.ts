// Where what is shown comes from: the observer, or a report that was saved.

import type { Deed, Document, Figures, FileHeat, FullStack, Snapshot, SourceData, TimelineData } from "./types";

export type Link = "connecting" | "live" | "lost" | "saved";

export interface State {
  runs: Snapshot[];
  link: Link;
  since: number; // when the link became what it is, Date.now()
  retryAt: number; // when a lost link is tried again
}

export interface Feed {
  /** Whether it is a report: what is in it has a time, from 0 to length. */
  readonly length: number | null;
  start(tell: (state: State) => void): void;
  /** Show a report as it was at that time. */
  seek(at: number): void;
  retry(): void;
  /** What is known of before now, oldest first: of a report all, of a run that is observed nothing, but see history. */
  past(): Snapshot[];
  /** How the figures of a run that is observed have been until now. */
  history(run: string): Promise<Figures | null>;
  timeline(run: string, from: number, to: number, width: number): Promise<TimelineData>;
  files(run: string): Promise<FileHeat[]>;
  /** isKnown: the lines of the file are there already, only its heat is asked for. */
  source(run: string, file: FileHeat, pid: number | null, isKnown: boolean): Promise<SourceData>;
  stack(run: string, pid: number): Promise<FullStack>;
  control(run: string, pid: number, deed: Deed): Promise<void>;
  href(document: Document, run: string): string | null;
}
