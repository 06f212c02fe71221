// Which stretch of time is shown. Pure.

const SHORTEST = 1e-5; // seconds across

/** null follows the present: all from the beginning on. */
export type Zoom = { from: number; to: number } | null;

export function span(zoom: Zoom, now: number): { from: number; to: number } {
  return zoom ?? { from: 0, to: Math.max(now, 0.05) };
}

/** Zoomed about a time that stays where it is; all the way out follows the present again. */
export function zoomed(zoom: Zoom, now: number, about: number, factor: number): Zoom {
  const { from, to } = span(zoom, now);
  const length = Math.max(SHORTEST, (to - from) * factor);
  if (length >= now && factor > 1) return null;
  const share = (about - from) / (to - from);
  return kept({ from: about - share * length, to: about + (1 - share) * length }, now);
}

export function moved(zoom: Zoom, now: number, by: number): Zoom {
  if (!zoom) return null;
  return kept({ from: zoom.from + by, to: zoom.to + by }, now);
}

export function chosen(one: number, other: number, now: number): Zoom {
  const [from, to] = one < other ? [one, other] : [other, one];
  return to - from < SHORTEST ? null : kept({ from, to }, now);
}

/** Within the run. */
function kept({ from, to }: { from: number; to: number }, now: number): Zoom {
  const length = to - from;
  const begin = Math.max(0, Math.min(from, now - length));
  return { from: begin, to: begin + length };
}

/** Round times for an axis, at least so many pixels apart. */
export function ticks(from: number, to: number, width: number, apart = 72): number[] {
  const least = ((to - from) * apart) / Math.max(1, width);
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400];
  let step = steps.find((candidate) => candidate >= least);
  if (step === undefined) step = Math.ceil(least / 86400) * 86400;
  if (least < 1) {
    const power = 10 ** Math.floor(Math.log10(least));
    step = [1, 2, 5, 10].map((digit) => digit * power).find((candidate) => candidate >= least) ?? 1;
  }
  const found = [];
  for (let number = Math.ceil(from / step - 1e-9); number * step <= to; number++) found.push(number * step);
  return found;
}

/** A time on an axis whose ticks are so far apart. */
export function tickLabel(time: number, step: number): string {
  if (time === 0) return "0";
  if (step >= 3600) return `${Math.round(time / 360) / 10} h`;
  if (time >= 60 && step >= 1) {
    const all = Math.round(time);
    const [hours, minutes, seconds] = [Math.floor(all / 3600), Math.floor((all % 3600) / 60), all % 60];
    const two = (value: number): string => String(value).padStart(2, "0");
    return hours ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
  }
  const [size, unit] = step >= 0.1 ? [1, "s"] : step >= 1e-4 ? [1e-3, "ms"] : [1e-6, "µs"];
  const digits = Math.max(0, Math.min(6, -Math.floor(Math.log10(step / size) + 1e-9)));
  return `${(time / size).toFixed(digits)} ${unit}`;
}
