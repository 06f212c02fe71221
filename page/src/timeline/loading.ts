// Asks for the bars that the timeline needs: all of the run, then what is new; and what is zoomed to, in more detail.

import type { Feed } from "../feed";
import { Bars } from "./bars";
import { type Zoom, span } from "./view";

const ANEW = 0.4; // seconds before the last look in which bars may still have grown
const EVERY = 400; // ms between two questions
const AROUND = 0.5; // of what is zoomed to, on each side of it

export class Loading {
  /** The run; and what is zoomed to. */
  whole: Bars | null = null;
  detail: Bars | null = null;
  private isAsking = false;
  private askedAt = 0;
  private timer = 0;
  private isOver = false;
  private wanted: { zoom: Zoom; now: number; width: number; isRunning: boolean } | null = null;

  constructor(private readonly feed: Feed, private readonly run: string, private readonly changed: () => void) {}

  /** What is shown now. */
  want(zoom: Zoom, now: number, width: number, isRunning: boolean): void {
    if (width <= 0) return; // not laid out yet
    this.wanted = { zoom, now, width, isRunning };
    this.ask();
  }

  /** Ask no more. */
  end(): void {
    this.isOver = true;
    clearTimeout(this.timer);
  }

  get layers(): Bars[] {
    return [this.detail, this.whole].filter((bars) => bars !== null);
  }

  private ask(): void {
    if (this.isAsking || this.isOver) return;
    const question = this.question();
    if (!question) return;
    clearTimeout(this.timer);
    const wait = this.askedAt + EVERY - performance.now();
    if (wait > 0 && !question.isUrgent) {
      this.timer = setTimeout(() => this.ask(), wait);
      return;
    }
    this.isAsking = true;
    this.askedAt = performance.now();
    question
      .run()
      .catch(() => {}) // the link is known to be lost elsewhere; what is there stays
      .finally(() => {
        this.isAsking = false;
        this.changed();
        if (this.question()) this.timer = setTimeout(() => this.ask(), EVERY);
      });
  }

  private question(): { run: () => Promise<void>; isUrgent: boolean } | null {
    if (!this.wanted) return null;
    const { zoom, now, width, isRunning } = this.wanted;
    const pixel = Math.max(now, 0.05) / width;
    if (!this.whole) return { run: () => this.load(null, now, width), isUrgent: true };
    if (zoom && this.feed.length === null && !this.isDetailed(zoom, now)) {
      return { run: () => this.load(zoom, now, width), isUrgent: !this.isDetailed(zoom, this.detail?.until ?? now) };
    }
    if (this.whole.until < now && (isRunning || !this.hasAll)) return { run: () => this.follow(now, pixel, isRunning), isUrgent: false };
    return null;
  }

  private hasAll = false;

  private isDetailed(zoom: NonNullable<Zoom>, now: number): boolean {
    const { detail } = this;
    const isFine = detail !== null && detail.until - detail.from < (zoom.to - zoom.from) * (1 + 2 * AROUND) * 1.6;
    return isFine && detail.covers(zoom.from, Math.min(zoom.to, now));
  }

  private async load(zoom: Zoom, now: number, width: number): Promise<void> {
    const { from, to } = span(zoom, now);
    const more = zoom ? (to - from) * AROUND : 0;
    const [begin, end] = [Math.max(0, from - more), Math.min(now, to + more)];
    const bars = new Bars(begin, end);
    bars.add(await this.feed.timeline(this.run, begin, end, (width * (end - begin)) / (to - from)), begin - 1, end, this.feed.length === null ? (to - from) / width : 0);
    if (zoom) this.detail = bars;
    else this.whole = bars;
  }

  private async follow(now: number, pixel: number, isRunning: boolean): Promise<void> {
    const whole = this.whole!;
    const since = Math.max(0, whole.until - ANEW);
    whole.add(await this.feed.timeline(this.run, since, now, Math.ceil((now - since) / pixel)), since, now, pixel);
    this.hasAll = !isRunning;
  }
}
