// Through a saved report, by time.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Feed } from "./feed";
import { clock } from "./format";

const REPLAY = 20; // seconds that all of a report takes at most, played
const FRAME = 100; // ms

export function Slider({ feed, at }: { feed: Feed; at: number }): JSX.Element {
  const length = feed.length ?? 0;
  const [isPlaying, setPlaying] = useState(false);
  useEffect(() => {
    if (!isPlaying) return;
    const step = Math.max(1, length / REPLAY) * (FRAME / 1000);
    const timer = setTimeout(() => {
      feed.seek(Math.min(length, at + step));
      if (at + step >= length) setPlaying(false);
    }, FRAME);
    return () => clearTimeout(timer);
  }, [isPlaying, at]);
  const play = (): void => {
    if (!isPlaying && at >= length) feed.seek(0);
    setPlaying(!isPlaying);
  };
  return (
    <div class="slider">
      <button class="small" onClick={play}>{isPlaying ? "Pause" : "Play"}</button>
      <input
        type="range"
        aria-label="time of the run"
        aria-valuetext={clock(at)}
        min={0}
        max={length}
        step="any"
        value={at}
        onInput={(event) => {
          setPlaying(false);
          feed.seek(Number(event.currentTarget.value));
        }}
      />
      <span>{clock(at)} <small>of {clock(length)}</small></span>
    </div>
  );
}
