// Python source as runs of text of one kind. It stays text: the page puts each run into an element of its own.

import { highlightCode, tagHighlighter, tags } from "@lezer/highlight";
import { parser } from "@lezer/python";

export type Token = [text: string, kind: string];

const LONGEST = 1_500_000; // characters; what is longer is shown without colours

const kinds = tagHighlighter([
  { tag: [tags.keyword, tags.operatorKeyword], class: "kw" },
  { tag: [tags.bool, tags.null, tags.number], class: "num" },
  { tag: [tags.string, tags.escape], class: "str" },
  { tag: tags.comment, class: "com" },
  { tag: [tags.function(tags.definition(tags.variableName)), tags.definition(tags.className)], class: "def" },
  { tag: [tags.function(tags.variableName), tags.function(tags.propertyName)], class: "call" },
  { tag: tags.meta, class: "com" },
]);

export function highlighted(lines: readonly string[]): Token[][] {
  const text = lines.join("\n");
  if (text.length > LONGEST) return lines.map((line) => [[line, ""]]);
  const found: Token[][] = [[]];
  highlightCode(
    text,
    parser.parse(text),
    kinds,
    (run, kind) => found.at(-1)!.push([run, kind]),
    () => found.push([]),
  );
  return found;
}
