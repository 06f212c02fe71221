// What the observer tells, as JSON. Times are seconds since the run began, shares between 0 and 1, sizes bytes.

/** Innermost first, in stacks. */
export type Frame = [path: string, line: number, name: string];

export interface Task {
  number: number;
  function: string;
  arguments: string; // empty where they may not be shown
  for: number;
}

export interface Lane {
  pid: number; // of a thread that is a worker: a number that no process has
  process?: number; // its process; where it is not there, it is pid
  name: string;
  role: string; // "program", "worker", "thread", "process", "keeper" (of shared objects)
  state: "busy" | "idle" | "paused" | "gone";
  died?: boolean; // whether it was lost, where it has gone; where that is not told, those with a ``how`` were
  how: string; // why it has gone; empty if it just ended
  busy: number;
  cpu: number;
  memory: number;
  tasks: number;
  function?: string; // of its last task
  task: Task | null;
  stack: Frame[];
  silent: number;
  begun?: number;
  ended?: number | null;
}

export interface Call {
  id?: string;
  number: number;
  function: string;
  total: number | null;
  done: number;
  failed: number;
  workers: number;
  backend: string;
  begun: number;
  lasted: number;
  is_over: boolean;
}

/** What hits are: of "looks" how many found a thread there, by how many processes it was "touched", or how many "runs" it had. */
export type Counts = "looks" | "touched" | "runs";

export interface FileHeat {
  id?: number | string;
  path: string;
  name?: string;
  hits: number;
  own: number;
  last: number;
  counts?: Counts; // not there in what was saved by older versions
}

export interface Stack {
  count: number;
  pids: number[];
  frames: Frame[];
}

export interface Failure {
  id?: number;
  kind: string;
  message: string;
  traceback: string;
  function?: string;
  count: number; // tasks that have failed for good
  attempts?: number; // that have failed, those with another after them as well; not there in what was saved by older versions
  last: number;
  tasks: number[];
  given?: { task: number; call: string; replay: string }[]; // of some of them, the call, where it may be shown, and the command to run it again
}

/** What is wrong, in words, and what to do about it; ``kind``: in one word, "good" if nothing is. */
export interface Verdict {
  kind: string;
  text: string;
  remedy: string;
}

export interface Snapshot {
  id: string;
  name: string;
  state: string; // "running", "done", "failed", "interrupted", "died"
  how: string;
  elapsed: number;
  done: number;
  failed: number;
  total: number | null;
  rate: number;
  eta: [left: number, error: number] | null;
  sent: number;
  received: number;
  spared?: number; // of what was sent, bytes that did not have to be moved
  cached: number;
  saved: number;
  cost: number;
  efficiency: number | null;
  verdict?: Verdict | null;
  processors?: number;
  control?: boolean; // whether workers may be acted upon
  level?: string; // of watching: "sample", ...
  calls: Call[];
  lanes: Lane[];
  files: FileHeat[];
  stacks: Stack[];
  errors: Failure[];
  cache: { function: string; hits: number; misses: number; saved: number }[];
  shared: { object: string; calls: number; waits?: number; waited: number }[];
  lost: number;
}

export const isWorker = (lane: Lane): boolean => lane.role !== "program" && lane.role !== "keeper";
export const isLost = (lane: Lane): boolean => lane.state === "gone" && (lane.died ?? lane.how !== "");

export const FAILED = 1;
export const CACHED = 2;

/** ``function``: an index into the names of the functions; ``first``: the number of the first of its tasks; ``given``: arguments of a single one. */
export type Bar = [begin: number, end: number, busy: number, count: number, fn: number, flags: number, first: number, given?: string];

export interface TimelineData {
  functions: string[];
  lanes: { pid: number; bars: Bar[] }[];
}

export type LineHeat = [hits: number, time: number, own: number, last: number, isEstimate: boolean | number];

/** How the figures of the small charts have been, as long as the observer remembers. */
export interface Figures {
  times: number[];
  rate: number[];
  working: number[];
  cpu: number[];
  memory: number[];
}

export interface SourceData {
  path: string;
  lines?: string[]; // not there where only heat was asked for
  heat: Record<string, LineHeat>;
  runnable: number[];
  counts?: Counts;
  counted?: boolean; // whether it is known which lines have run; else only where threads were seen
}

/** Of all threads of a process; ``own``: the folder of manyhands. */
export interface FullStack {
  text: string;
  own?: string;
}

export type Deed = "cancel" | "pause" | "resume" | "restart";
export type Document = "report" | "trace" | "speedscope" | "log";
