// A small chart without axes: how a figure has changed.

import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { clock } from "./format";

interface Props {
  times: number[];
  values: number[];
  most?: number;
  words: (value: number) => string;
}

export function Spark({ times, values, most, words }: Props): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [pointer, setPointer] = useState<number | null>(null);
  const [first, last] = [times[0] ?? 0, times.at(-1) ?? 0];
  const index = pointer === null ? -1 : nearest(times, first + pointer * (last - first));
  useLayoutEffect(() => draw(canvas.current!, times, values, most, index));
  return (
    <span
      class="spark"
      onPointerMove={(event) => setPointer(event.offsetX / Math.max(1, event.currentTarget.clientWidth))}
      onPointerLeave={() => setPointer(null)}
    >
      <canvas ref={canvas} aria-hidden="true" />
      {index >= 0 && <small>{words(values[index]!)} at {clock(times[index]!)}</small>}
    </span>
  );
}

function nearest(times: number[], time: number): number {
  let best = -1;
  for (let index = 0; index < times.length; index++) {
    if (best < 0 || Math.abs(times[index]! - time) < Math.abs(times[best]! - time)) best = index;
  }
  return best;
}

function draw(canvas: HTMLCanvasElement, times: number[], values: number[], most: number | undefined, marked: number): void {
  const box = canvas.parentElement!;
  const [width, height, ratio] = [box.clientWidth, box.clientHeight, devicePixelRatio];
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d")!;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  if (times.length < 2) return;
  const colour = getComputedStyle(canvas).color;
  const [first, last] = [times[0]!, times.at(-1)!];
  const top = most ?? Math.max(...values, 1e-12) * 1.08;
  const x = (index: number): number => ((times[index]! - first) / Math.max(1e-9, last - first)) * width;
  const y = (index: number): number => height - 1 - Math.min(1, values[index]! / top) * (height - 3);
  context.beginPath();
  for (let index = 0; index < times.length; index++) context.lineTo(x(index), y(index));
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = 1.25;
  context.lineJoin = "round";
  context.stroke();
  context.lineTo(width, height);
  context.lineTo(0, height);
  context.globalAlpha = 0.14;
  context.fill();
  context.globalAlpha = 1;
  if (marked < 0) return;
  context.beginPath();
  context.arc(x(marked), y(marked), 2.5, 0, 7);
  context.fill();
}
