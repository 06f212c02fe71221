// Numbers as people read them. Three figures are enough everywhere.

const NUMBER = new Intl.NumberFormat("en");

/** 61234 → "61,234" */
export const count = (value: number): string => NUMBER.format(Math.round(value));

/** 61234 → "61.2k": where room is short */
export function short(value: number): string {
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]] as const) {
    if (value >= size * 9.995) return `${figures(value / size)}${unit}`;
  }
  return value < 1e4 && value >= 100 ? String(Math.round(value)) : figures(value);
}

function figures(value: number): string {
  if (value >= 99.95) return String(Math.round(value));
  if (value >= 9.995) return trimmed(value.toFixed(1));
  return trimmed(value.toFixed(2));
}

const trimmed = (text: string): string => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);

/** 0.0042 → "4.2 ms", 185 → "3 min 5 s" */
export function duration(seconds: number): string {
  if (!(seconds > 0)) return "0 s";
  if (seconds < 1e-3) return `${figures(seconds * 1e6)} µs`;
  if (seconds < 1) return `${figures(seconds * 1e3)} ms`;
  if (seconds < 60) return `${figures(seconds)} s`;
  const all = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(all / 3600), Math.floor((all % 3600) / 60), all % 60];
  return hours ? `${hours} h ${minutes} min` : `${minutes} min ${rest} s`;
}

/** As duration, in a narrow cell: 185 → "3.1 min" */
export function brief(seconds: number): string {
  if (seconds < 60) return duration(seconds);
  const [size, unit] = seconds < 3600 ? [60, "min"] : [3600, "h"];
  const value = seconds / size;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

/** As duration, with a width that changes little while it counts: 12.4 → "12.4 s" */
export function clock(seconds: number): string {
  if (seconds > 0 && seconds < 0.1) return duration(seconds);
  return seconds < 60 ? `${Math.max(0, seconds).toFixed(1)} s` : duration(seconds);
}

export function bytes(value: number): string {
  let size = value;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (size < 999.5) return `${figures(size)} ${unit}`;
    size /= 1000;
  }
  return `${figures(size)} TB`;
}

/** In a narrow cell: 18624 → "19 kB" */
export const brieflyBytes = (value: number): string => bytes(value >= 1000 ? Number(value.toPrecision(2)) : value);

/** A share: 0.616 → "62 %", 0.0042 → "0.42 %" */
export function percent(share: number): string {
  const value = share * 100;
  return `${value >= 9.95 || value === 0 ? Math.round(value) : figures(value)} %`;
}

/** "train.fit" → "fit" */
export const plainName = (name: string): string => name.slice(name.lastIndexOf(".") + 1);

/** "/home/ada/study/model.py" → "model.py"; "…/study/__init__.py" → "study/__init__.py" */
export function baseName(path: string): string {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return /^__(init|main)__\.py$/.test(name) ? path.split("/").slice(-2).join("/") : name;
}

export const several = (number: number, one: string, many = `${one}s`): string => `${count(number)} ${number === 1 ? one : many}`;
