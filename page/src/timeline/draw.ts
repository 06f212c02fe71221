// Draws the bars. What is shorter than a pixel is put together in columns, so that the cost is that of the pixels, whatever the tasks are.

import { type Bar, type Lane, CACHED, FAILED, isLost } from "../types";
import { type Bars, firstEndingAfter } from "./bars";
import { type FunctionColours, type Palette, level } from "./colours";
import { tickLabel, ticks } from "./view";

const LATE = 1.5; // seconds that what is there may be behind

export interface Scene {
  width: number; // CSS pixels
  height: number;
  ratio: number; // of the screen's pixels to those
  from: number;
  to: number;
  now: number;
  rowHeight: number;
  scrolled: number;
  lanes: Lane[];
  layers: Bars[]; // the first one that covers what is shown is drawn; else the last one below the first
  colours: FunctionColours;
  palette: Palette;
  selection: [number, number] | null; // pixels
  pointer: number | null;
}

/** A run of pixel columns that look alike. */
interface Columns {
  begin: number;
  end: number;
  fill: string;
}

export function drawLanes(context: CanvasRenderingContext2D, scene: Scene): void {
  const { ratio, width, height, palette } = scene;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width * ratio, height * ratio);
  drawGrid(context, scene);
  const layer = scene.layers.find((bars) => bars.covers(scene.from, Math.min(scene.to, scene.now - LATE))) ?? scene.layers.at(-1);
  const numbers = layer?.functions.map((name) => scene.colours.of(name)) ?? [];
  const first = Math.max(0, Math.floor(scene.scrolled / scene.rowHeight));
  const last = Math.min(scene.lanes.length, Math.ceil((scene.scrolled + height) / scene.rowHeight));
  for (let row = first; row < last; row++) {
    const lane = scene.lanes[row]!;
    const painter = new Row(context, scene, row, numbers, layer?.functions ?? []);
    painter.ended(lane);
    painter.bars(layer?.lanes.get(lane.pid) ?? []);
    painter.running(lane);
  }
  if (scene.selection) {
    const [begin, end] = scene.selection;
    context.fillStyle = palette.select;
    context.fillRect(begin * ratio, 0, (end - begin) * ratio, height * ratio);
  }
  if (scene.pointer !== null) line(context, scene.pointer * ratio, height * ratio, palette.muted, 0.6);
}

export function drawAxis(context: CanvasRenderingContext2D, scene: Scene): void {
  const { ratio, width, height, palette } = scene;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = `10.5px ${palette.font}`;
  context.fillStyle = palette.muted;
  context.textBaseline = "middle";
  const marks = ticks(scene.from, scene.to, width);
  const step = marks.length > 1 ? marks[1]! - marks[0]! : scene.to - scene.from;
  for (const time of marks) {
    const text = tickLabel(time, step);
    const x = ((time - scene.from) / (scene.to - scene.from)) * width;
    const room = context.measureText(text).width;
    context.fillText(text, Math.max(1, Math.min(width - room - 1, time === 0 ? x + 1 : x - room / 2)), height / 2 + 1);
  }
}

function drawGrid(context: CanvasRenderingContext2D, scene: Scene): void {
  const { ratio, width, height, palette, from, to } = scene;
  for (const time of ticks(from, to, width)) line(context, ((time - from) / (to - from)) * width * ratio, height * ratio, palette.line, 1);
}

function line(context: CanvasRenderingContext2D, x: number, height: number, colour: string, alpha: number): void {
  context.globalAlpha = alpha;
  context.fillStyle = colour;
  context.fillRect(Math.round(x), 0, 1, height);
  context.globalAlpha = 1;
}

/** Draws one lane, in pixels of the screen. */
class Row {
  private readonly top: number;
  private readonly tall: number;
  private readonly scale: number; // pixels a second
  private readonly width: number;
  private readonly waiting: Columns = { begin: 0, end: -1, fill: "" };
  private column = -1;
  private columnBusy = 0;
  private columnFlags = 0;
  private columnFunction = 0;
  private columnLongest = 0;
  private columnCount = 0;
  private columnBars = 0;
  private readonly failed: [column: number, isAlone: boolean][] = [];

  constructor(
    private readonly context: CanvasRenderingContext2D,
    private readonly scene: Scene,
    row: number,
    private readonly numbers: number[],
    private readonly names: string[],
  ) {
    const { rowHeight, scrolled, ratio } = scene;
    const gap = rowHeight >= 16 ? 3 : rowHeight >= 11 ? 2 : 1;
    this.top = Math.round((row * rowHeight - scrolled + gap / 2) * ratio);
    this.tall = Math.max(1, Math.round((row * rowHeight - scrolled + rowHeight - gap / 2) * ratio) - this.top);
    this.width = scene.width * ratio;
    this.scale = this.width / (scene.to - scene.from);
  }

  /** Where a worker was lost, the rest of its lane is red. */
  ended(lane: Lane): void {
    if (!isLost(lane)) return;
    const { palette, ratio } = this.scene;
    const x = Math.max(0, this.x(lane.ended ?? this.scene.now));
    this.context.fillStyle = palette.badSoft;
    this.context.fillRect(x, this.top, Math.max(0, this.x(this.scene.now) - x), this.tall);
    this.context.fillStyle = palette.bad;
    this.context.fillRect(x - ratio, this.top, 2 * ratio, this.tall);
  }

  bars(bars: readonly Bar[]): void {
    const { from, to, now } = this.scene;
    const end = Math.min(to, now);
    for (let index = firstEndingAfter(bars, from); index < bars.length; index++) {
      const bar = bars[index]!;
      if (bar[0] > end) {
        if (bar[0] - end > to - from) break; // the order is that of the ends; what begins so late is far out
        continue;
      }
      const [x0, x1] = [Math.max(0, this.x(bar[0])), Math.min(this.width, this.x(Math.min(bar[1], now)))];
      if (x1 - x0 >= 1.5) {
        this.flushColumn();
        this.flush();
        this.wide(bar, x0, x1);
      } else {
        this.narrow(bar, Math.floor((x0 + x1) / 2));
      }
    }
    this.flushColumn();
    this.flush();
    this.failures();
  }

  /** The task that runs: open at its end. */
  running(lane: Lane): void {
    if (!lane.task || lane.state === "gone") return;
    const { now, palette, colours } = this.scene;
    const [x0, x1] = [Math.max(0, this.x(now - lane.task.for)), Math.min(this.width, this.x(now))];
    if (x1 - x0 < 1) return;
    this.context.fillStyle = palette.fills[colours.of(lane.task.function)]![0]!;
    this.context.fillRect(x0, this.top, x1 - x0, this.tall);
    this.label(lane.task.function, x0, x1);
  }

  private wide(bar: Bar, x0: number, x1: number): void {
    const { context } = this;
    const { palette, ratio } = this.scene;
    const [begin, end, busy, count, fn, flags] = bar;
    const isOne = count === 1;
    const right = x1 - x0 > 4 * ratio && isOne ? x1 - ratio * 0.75 : x1;
    context.fillStyle = flags & FAILED && isOne ? palette.bad : this.fill(fn, isOne ? 1 : busy / (end - begin));
    context.fillRect(x0, this.top, right - x0, this.tall);
    if (flags & CACHED && palette.hatch) {
      context.fillStyle = palette.hatch;
      context.fillRect(x0, this.top, right - x0, this.tall);
    }
    if (flags & FAILED && !isOne) {
      context.fillStyle = palette.bad;
      context.fillRect(x0, this.top + this.tall * 0.6, right - x0, Math.ceil(this.tall * 0.4));
    }
    this.label(this.names[fn] ?? "", x0, right);
  }

  private label(text: string, x0: number, x1: number): void {
    const { context, scene } = this;
    const { ratio, rowHeight, palette } = scene;
    if (rowHeight < 15 || x1 - x0 < 44 * ratio || !text) return;
    context.font = `${Math.min(11, rowHeight - 6) * ratio}px ${palette.font}`;
    if (context.measureText(text).width > x1 - x0 - 8 * ratio) return;
    context.fillStyle = palette.isDark ? "#0b0f14" : "#ffffff";
    context.textBaseline = "middle";
    context.fillText(text, x0 + 5 * ratio, this.top + this.tall / 2 + 0.5 * ratio);
  }

  private narrow(bar: Bar, column: number): void {
    if (column !== this.column) {
      this.flushColumn();
      this.column = column;
    }
    this.columnBusy += bar[2];
    this.columnFlags |= bar[5];
    this.columnCount += bar[3];
    this.columnBars += 1;
    if (bar[2] >= this.columnLongest) [this.columnLongest, this.columnFunction] = [bar[2], bar[4]];
  }

  private flushColumn(): void {
    if (this.column < 0) return;
    const share = Math.min(1, this.columnBusy * this.scale);
    const fill = this.fill(this.columnFunction, this.columnFlags & CACHED && this.columnBars === 1 ? share / 2 : share);
    if (this.columnFlags & FAILED) this.failed.push([this.column, this.columnCount === 1]);
    const { waiting } = this;
    if (waiting.fill === fill && this.column <= waiting.end && this.column >= waiting.begin) {
      waiting.end = Math.max(waiting.end, this.column + 1);
    } else {
      this.flush();
      [waiting.begin, waiting.end, waiting.fill] = [this.column, this.column + 1, fill];
    }
    this.column = -1;
    this.columnBusy = this.columnFlags = this.columnLongest = this.columnCount = this.columnBars = 0;
  }

  /** Over all else, so that one in a thousand is seen; not in all of the height where other tasks are in the same column. */
  private failures(): void {
    const wide = Math.max(1, Math.round(1.5 * this.scene.ratio));
    this.context.fillStyle = this.scene.palette.bad;
    for (const [column, isAlone] of this.failed) {
      const tall = isAlone ? this.tall : Math.ceil(this.tall * 0.45);
      this.context.fillRect(column, this.top + this.tall - tall, wide, tall);
    }
  }

  private flush(): void {
    const { waiting, context } = this;
    if (waiting.end > waiting.begin) {
      context.fillStyle = waiting.fill;
      context.fillRect(waiting.begin, this.top, waiting.end - waiting.begin, this.tall);
    }
    waiting.end = -1;
    waiting.fill = "";
  }

  private fill(fn: number, share: number): string {
    return this.scene.palette.fills[this.numbers[fn] ?? 0]![level(share)]!;
  }

  private x(time: number): number {
    return (time - this.scene.from) * this.scale;
  }
}
