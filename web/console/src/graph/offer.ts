// What the palette offers to add.

import type { Palette } from "../types.ts";
import type { Part } from "./edit.ts";

export interface Offer {
  name: string;
  help: string;
  part: Part;
}

export interface Group {
  name: string;
  offers: Offer[];
}

export function groups(palette: Palette): Group[] {
  const list: Group[] = [
    {
      name: "Signals",
      offers: palette.signals.map((s) => ({ name: s.title, help: s.help, part: { type: "signal", signal: s.name } })),
    },
    {
      name: "Conditions",
      offers: [
        { name: "Any of", help: "Holds if at least one of its inputs does.", part: { type: "condition", op: "any" } },
        { name: "All of", help: "Holds if all of its inputs do.", part: { type: "condition", op: "all" } },
        { name: "Not", help: "Holds if its input does not.", part: { type: "condition", op: "not" } },
        { name: "At least some of", help: "Holds if so many of its inputs do.", part: { type: "condition", op: "count", value: 2 } },
        {
          name: "Points reach",
          help: "Holds from a number of points on; or from a value of a signal on, as so many km/h.",
          part: { type: "condition", op: "at_least", value: 50 },
        },
      ],
    },
    {
      name: "Points",
      offers: [
        { name: "Points", help: "Gives points if its input holds.", part: { type: "weight" } },
        { name: "Sum of points", help: "Adds points up, from 0 to 100.", part: { type: "combine", how: "sum" } },
        { name: "Highest of points", help: "Takes the highest of the points.", part: { type: "combine", how: "max" } },
      ],
    },
    {
      name: "Rules",
      offers: [
        { name: "Ask for a face", help: "Asks for a face if its input holds.", part: { type: "decide", decision: "step_up" } },
        { name: "Refuse", help: "Refuses if its input holds.", part: { type: "decide", decision: "deny" } },
        { name: "Let through", help: "Lets through if its input surely holds.", part: { type: "decide", decision: "allow" } },
      ],
    },
  ];
  if (palette.expression) {
    list[1]?.offers.push({ name: "Expression", help: "Holds if an expression in CEL does.", part: { type: "expression", expression: "" } });
  }
  return list;
}
