// The timeline beside the lanes: wheel and drag zoom, and so do + - ← → and 0.

import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Feed } from "../feed";
import { clock, count, duration, several } from "../format";
import { type Bar, type Lane, type Snapshot, CACHED, FAILED } from "../types";
import { type FunctionColours, type Palette, palette } from "./colours";
import { type Scene, drawAxis, drawLanes } from "./draw";
import { Loading } from "./loading";
import { type Zoom, chosen, moved, span, zoomed } from "./view";

const SETTLES = 0.15; // seconds until what has happened has been told
const LEAST_DRAG = 4; // pixels; less is none

interface Props {
  feed: Feed;
  run: Snapshot;
  lanes: Lane[];
  rowHeight: number;
  scrolled: number;
  width: number;
  height: number;
  axis: HTMLCanvasElement | null;
  colours: FunctionColours;
  zoom: Zoom;
  setZoom: (zoom: Zoom) => void;
}

interface Hover {
  x: number;
  y: number;
  lane: Lane;
  bar: Bar | null;
  name: string;
  time: number;
}

export function Timeline(props: Props): JSX.Element {
  const { feed, run, lanes, rowHeight, scrolled, width, height, zoom, setZoom } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const loading = useRef<Loading | null>(null);
  const colours = useRef<Palette | null>(null);
  const [, drawAgain] = useState(0);
  const [drag, setDrag] = useState<[number, number] | null>(null);
  const [hover, setHover] = useState<Hover | null>(null);
  const now = run.elapsed;
  // Of what has just been, not all has been told: it would look idle.
  const told = run.state === "running" && feed.length === null ? (loading.current?.whole?.until ?? now) - SETTLES : now;
  const { from, to } = span(zoom, Math.min(now, told));
  const timeAt = (x: number): number => from + (x / width) * (to - from);

  useEffect(() => {
    const mine = (loading.current = new Loading(feed, run.id, () => drawAgain((number) => number + 1)));
    return () => mine.end();
  }, [feed, run.id]);
  useEffect(() => loading.current?.want(zoom, feed.length ?? now, width, run.state === "running"));
  useEffect(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const anew = (): void => {
      colours.current = null;
      drawAgain((number) => number + 1);
    };
    dark.addEventListener("change", anew);
    return () => dark.removeEventListener("change", anew);
  }, []);

  useLayoutEffect(() => {
    const element = canvas.current;
    if (!element || width <= 0 || height <= 0) return;
    colours.current ??= palette(element);
    const ratio = devicePixelRatio;
    const selection: Scene["selection"] = drag && [Math.min(...drag), Math.max(...drag)];
    const scene: Scene = {
      ...{ width, height, ratio, from, to, now, rowHeight, scrolled, lanes, colours: props.colours, selection },
      layers: loading.current?.layers ?? [],
      palette: colours.current,
      pointer: hover && !drag ? hover.x : null,
    };
    sized(element, width, height, ratio);
    drawLanes(element.getContext("2d")!, scene);
    if (props.axis) {
      sized(props.axis, width, 18, ratio);
      drawAxis(props.axis.getContext("2d")!, { ...scene, height: 18 });
    }
  });

  const place = (event: MouseEvent): [number, number] => {
    const box = canvas.current!.getBoundingClientRect();
    return [Math.max(0, Math.min(width, event.clientX - box.left)), event.clientY - box.top];
  };
  const laneAt = (y: number): Lane | undefined => lanes[Math.floor((y + scrolled) / rowHeight)];

  // Not a property of the element: the page must not scroll meanwhile, and listeners for the wheel are passive otherwise.
  const wheel = useRef<(event: WheelEvent) => void>(() => {});
  wheel.current = (event) => {
    event.preventDefault();
    const sideways = event.shiftKey ? event.deltaY || event.deltaX : Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : 0;
    if (sideways) setZoom(moved(zoom, now, (sideways / width) * (to - from)));
    else setZoom(zoomed(zoom, now, timeAt(place(event)[0]), Math.exp(Math.max(-120, Math.min(120, event.deltaY)) / 300)));
  };
  useEffect(() => {
    const listener = (event: WheelEvent): void => wheel.current(event);
    const element = canvas.current!;
    element.addEventListener("wheel", listener, { passive: false });
    return () => element.removeEventListener("wheel", listener);
  }, []);

  const move = (event: PointerEvent): void => {
    const [x, y] = place(event);
    if (drag) {
      setDrag([drag[0], x]);
      return;
    }
    const lane = laneAt(y);
    if (!lane) return setHover(null);
    const time = timeAt(x);
    const near = (4 / width) * (to - from);
    for (const layer of loading.current?.layers ?? []) {
      const bar = layer.at(lane.pid, time, near);
      if (bar) return setHover({ x, y, lane, bar, name: layer.functions[bar[4]] ?? "", time });
    }
    const task = lane.task && time > now - lane.task.for && time <= now ? lane.task : null;
    setHover({ x, y, lane, bar: null, name: task ? task.function : "", time });
  };
  const release = (event: PointerEvent): void => {
    if (!drag) return;
    setDrag(null);
    const [x] = place(event);
    if (Math.abs(x - drag[0]) >= LEAST_DRAG) setZoom(chosen(timeAt(drag[0]), timeAt(x), now) ?? zoom);
  };
  const press = (event: KeyboardEvent): void => {
    const middle = (from + to) / 2;
    const steps: Record<string, () => Zoom> = {
      "+": () => zoomed(zoom, now, middle, 0.5),
      "=": () => zoomed(zoom, now, middle, 0.5),
      "-": () => zoomed(zoom, now, middle, 2),
      ArrowLeft: () => moved(zoom, now, (from - to) / 5),
      ArrowRight: () => moved(zoom, now, (to - from) / 5),
      "0": () => null,
      Home: () => null,
    };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    setZoom(step());
  };

  return (
    <div class="timeline" style={{ height: `${height}px` }}>
      <canvas
        ref={canvas}
        tabIndex={0}
        role="img"
        aria-label={`Timeline of ${several(lanes.length, "process", "processes")}, ${clock(from)} to ${clock(to)}. Keys: plus and minus zoom, arrows move, 0 follows the present.`}
        onPointerDown={(event) => {
          if (event.button !== 0) return;
          canvas.current!.setPointerCapture(event.pointerId);
          const [x] = place(event);
          setDrag([x, x]);
          setHover(null);
        }}
        onPointerMove={move}
        onPointerUp={release}
        onPointerCancel={() => setDrag(null)}
        onPointerLeave={() => setHover(null)}
        onDblClick={() => setZoom(null)}
        onKeyDown={press}
      />
      {hover && !drag && <Tip hover={hover} box={canvas.current!.getBoundingClientRect()} now={now} />}
    </div>
  );
}

function Tip({ hover, box, now }: { hover: Hover; box: DOMRect; now: number }): JSX.Element | null {
  const { bar, lane, x, y } = hover;
  if (!hover.name && !bar) return null;
  const given = bar ? bar[7] : lane.task?.arguments;
  // By the window: what is around the timeline would cut it off.
  const [left, top] = [box.left + x, box.top + y];
  const style = {
    ...(x > box.width / 2 ? { right: `${document.documentElement.clientWidth - left + 10}px` } : { left: `${left + 12}px` }),
    ...(top > innerHeight / 2 ? { bottom: `${innerHeight - top + 8}px` } : { top: `${top + 12}px` }),
  };
  return (
    <div class="tip" style={style}>
      <b>
        {hover.name || "task"}
        {given && <span class="given">({given})</span>}
      </b>
      {bar && <TipBar bar={bar} />}
      {!bar && lane.task && <span>task {count(lane.task.number)}, running for {clock(lane.task.for)}</span>}
      <small>{lane.name} · at {clock(Math.min(hover.time, now))}</small>
    </div>
  );
}

function TipBar({ bar: [begin, end, busy, number, , flags, first] }: { bar: Bar }): JSX.Element {
  const marks = [flags & FAILED ? (number > 1 ? "some failed" : "failed") : "", flags & CACHED ? "from the cache" : ""].filter(Boolean);
  return (
    <>
      <span>
        {number === 1 ? `task ${count(first)}` : `${count(number)} tasks from ${count(first)}`} · {duration(end - begin)}
        {number > 1 && `, ${duration(busy / number)} each`}
      </span>
      <span>began at {clock(begin)}</span>
      {marks.length > 0 && <span class={flags & FAILED ? "bad" : ""}>{marks.join(", ")}</span>}
    </>
  );
}

function sized(element: HTMLCanvasElement, width: number, height: number, ratio: number): void {
  const [wide, tall] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (element.width !== wide || element.height !== tall) {
    element.width = wide;
    element.height = tall;
    element.style.width = `${width}px`;
    element.style.height = `${height}px`;
  }
}
