// How the figures of a run have changed; half as fine whenever there are too many. Pure.

import { type Figures, type Snapshot, isWorker } from "./types";

const MOST = 480;
const NAMES = ["times", "rate", "working", "cpu", "memory"] as const;

export class History implements Figures {
  times: number[] = [];
  rate: number[] = [];
  working: number[] = [];
  cpu: number[] = [];
  memory: number[] = [];
  private apart = 0;

  note(run: Snapshot): void {
    const last = this.times.at(-1);
    if (last !== undefined && run.elapsed - last <= this.apart) return;
    const alive = run.lanes.filter((lane) => lane.state !== "gone");
    const workers = alive.filter(isWorker);
    this.times.push(run.elapsed);
    this.rate.push(run.rate);
    this.working.push(workers.length ? workers.filter((lane) => lane.state === "busy").length / workers.length : 0);
    this.cpu.push(alive.reduce((sum, lane) => sum + lane.cpu, 0));
    this.memory.push(alive.reduce((sum, lane) => sum + lane.memory, 0));
    if (this.times.length > MOST) this.thin();
  }

  /** How they were before the first that was noted. */
  prepend(before: Figures): void {
    const first = this.times[0] ?? Infinity;
    const known = before.times.filter((time) => time < first).length;
    for (const name of NAMES) this[name] = [...before[name].slice(0, known), ...this[name]];
    while (this.times.length > MOST) this.thin();
  }

  private thin(): void {
    for (const name of NAMES) this[name] = this[name].filter((_, index) => index % 2 === 0);
    this.apart = (this.times.at(-1)! - this.times[0]!) / MOST;
  }
}
