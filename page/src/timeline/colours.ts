// The colours of the canvas: those of the style sheet, and one for each function, by name.

const FUNCTIONS = 8; // colours in the style sheet: --fn-0 ...
const LEVELS = 4; // of how full a bar is that stands for several tasks

export interface Palette {
  isDark: boolean;
  panel: string;
  line: string;
  text: string;
  muted: string;
  bad: string;
  badSoft: string;
  accent: string;
  select: string;
  font: string;
  /** By function, then by how full a bar is. */
  fills: string[][];
  hatch: CanvasPattern | null;
}

/** The colour of a function is the same everywhere and all the time: they get theirs in the order in which they are seen. */
export class FunctionColours {
  private readonly numbers = new Map<string, number>();

  of(name: string): number {
    let number = this.numbers.get(name);
    if (number === undefined) {
      number = this.numbers.size % FUNCTIONS;
      this.numbers.set(name, number);
    }
    return number;
  }

  get names(): string[] {
    return [...this.numbers.keys()];
  }
}

export function palette(element: HTMLElement): Palette {
  const style = getComputedStyle(element);
  const read = (name: string): string => style.getPropertyValue(name).trim();
  const panel = read("--panel");
  const fills = Array.from({ length: FUNCTIONS }, (_, number) =>
    Array.from({ length: LEVELS }, (_, level) => mixed(panel, read(`--fn-${number}`), 0.34 + (0.66 * (level + 1)) / LEVELS)),
  );
  return {
    isDark: matchMedia("(prefers-color-scheme: dark)").matches,
    panel,
    line: read("--line"),
    text: read("--text"),
    muted: read("--muted"),
    bad: read("--bad"),
    badSoft: read("--bad-soft"),
    accent: read("--accent"),
    select: read("--select"),
    font: read("--sans"),
    fills,
    hatch: hatched(panel),
  };
}

export const level = (fill: number): number => Math.max(0, Math.min(LEVELS - 1, Math.ceil(fill * LEVELS) - 1));

function mixed(one: string, other: string, share: number): string {
  const [a, b] = [channels(one), channels(other)];
  return `rgb(${a.map((value, index) => Math.round(value + (b[index]! - value) * share)).join(" ")})`;
}

/** Of #rrggbb, which is how the style sheet writes colours that are mixed. */
function channels(colour: string): [number, number, number] {
  const value = Number.parseInt(colour.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

function hatched(colour: string): CanvasPattern | null {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const context = tile.getContext("2d")!;
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.beginPath();
  for (const shift of [-6, 0, 6]) {
    context.moveTo(shift - 1, 7);
    context.lineTo(shift + 7, -1);
  }
  context.stroke();
  return context.createPattern(tile, "repeat");
}
