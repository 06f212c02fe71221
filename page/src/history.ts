// How the figures of a run have changed since the page looks; half as fine whenever there are too many. Pure.

import type { Snapshot } from "./types";

const MOST = 480;

export class History {
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
    const workers = alive.filter((lane) => lane.role !== "program");
    this.times.push(run.elapsed);
    this.rate.push(run.rate);
    this.working.push(workers.length ? workers.filter((lane) => lane.state === "busy").length / workers.length : 0);
    this.cpu.push(alive.reduce((sum, lane) => sum + lane.cpu, 0));
    this.memory.push(alive.reduce((sum, lane) => sum + lane.memory, 0));
    if (this.times.length > MOST) this.thin();
  }

  private thin(): void {
    for (const name of ["times", "rate", "working", "cpu", "memory"] as const) this[name] = this[name].filter((_, index) => index % 2 === 0);
    this.apart = (this.times.at(-1)! - this.times[0]!) / MOST;
  }
}
