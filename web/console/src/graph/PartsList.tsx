// The palette: what can be added, by click, by Enter or by dragging.

import { useMemo, useState } from "react";
import type { Palette } from "../types.ts";
import type { Part } from "./edit.ts";
import { groups } from "./offer.ts";

export const dragType = "application/x-kosmoscope-part";

export function PartsList({ palette, full, onAdd }: { palette: Palette; full: boolean; onAdd: (part: Part, name: string) => void }) {
  const list = useMemo(() => groups(palette), [palette]);
  const [roomy] = useState(() => matchMedia("(min-width: 48rem)").matches); // else it would push the drawing away
  return (
    <section className="graph-parts" aria-label="Add to the policy">
      {full && <p className="graph-note">The policy is as large as it may be.</p>}
      {list.map((g) => (
        <details key={g.name} open={roomy && g.name === "Signals"}>
          <summary>{g.name}</summary>
          <ul>
            {g.offers.map((o) => (
              <li key={o.name}>
                <button
                  type="button"
                  className={`graph-offer is-${o.part.type}`}
                  title={o.help}
                  disabled={full}
                  draggable={!full}
                  onClick={() => onAdd(o.part, o.name)}
                  onDragStart={(e) => {
                    e.dataTransfer.setData(dragType, o.name);
                    e.dataTransfer.effectAllowed = "copy";
                  }}
                >
                  <span className="graph-sr">Add </span>
                  {o.name}
                </button>
              </li>
            ))}
          </ul>
        </details>
      ))}
    </section>
  );
}
