// Bars of the timeline that the page has, by lane. Pure: no canvas, no requests.

import type { Bar, TimelineData } from "../types";

const MOST = 2_500; // bars of a lane, before those that are shorter than half a pixel are put together

/** The bars of a stretch of time. Those of a lane are in the order of their ends. */
export class Bars {
  readonly lanes = new Map<number, Bar[]>();
  functions: string[] = [];

  constructor(public from: number, public until: number) {}

  /** Add what has ended since. What reaches beyond ``since`` is told anew: it may have grown. */
  add(data: TimelineData, since: number, until: number, pixel: number): void {
    if (data.functions.length >= this.functions.length) this.functions = data.functions;
    for (const { pid, bars } of data.lanes) {
      const known = this.lanes.get(pid);
      if (!known) {
        this.lanes.set(pid, bars.length > MOST ? coarsened(bars, pixel / 2) : bars);
        continue;
      }
      while (known.length && known[known.length - 1]![1] > since) known.pop();
      for (const bar of bars) if (bar[1] > since) known.push(bar);
      if (known.length > MOST) this.lanes.set(pid, coarsened(known, pixel / 2));
    }
    this.until = until;
  }

  /** Whether it has all that is between two times. */
  covers(from: number, to: number): boolean {
    return this.from <= Math.max(0, from) && to <= this.until + 1e-9;
  }

  /** The bar of a lane at a time, or the nearest one within ``near`` seconds. */
  at(pid: number, time: number, near: number): Bar | null {
    const bars = this.lanes.get(pid);
    if (!bars) return null;
    const index = firstEndingAfter(bars, time - near);
    let best: Bar | null = null;
    let least = near;
    for (const bar of bars.slice(index, index + 64)) {
      const distance = Math.max(0, bar[0] - time, time - bar[1]);
      if (distance < least || (distance === 0 && !best)) [best, least] = [bar, distance];
      if (distance === 0) break;
    }
    return best;
  }
}

/** The index of the first bar that ends after a time. */
export function firstEndingAfter(bars: readonly Bar[], time: number): number {
  let [low, high] = [0, bars.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (bars[middle]![1] < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The same with bars that are drawn within one pixel put together. */
export function coarsened(bars: readonly Bar[], pixel: number): Bar[] {
  const found: Bar[] = [];
  let longest = 0;
  for (const bar of bars) {
    const last = found[found.length - 1];
    const length = bar[1] - bar[0];
    if (last && length < pixel && last[1] - last[0] < pixel && Math.floor(last[1] / pixel) === Math.floor(bar[1] / pixel)) {
      const fn = length > longest ? bar[4] : last[4];
      found[found.length - 1] = [Math.min(last[0], bar[0]), bar[1], last[2] + bar[2], last[3] + bar[3], fn, last[5] | bar[5], last[6]];
      longest = Math.max(longest, length);
    } else {
      found.push(bar);
      longest = length;
    }
  }
  return found;
}
