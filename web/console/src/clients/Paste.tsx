import { Copy } from "../fields.tsx";
import type { Client } from "./types.ts";

// Paste is what has to be set at the other side.
export function Paste({ client }: { client: Client }) {
  return (
    <section aria-labelledby="paste-title">
      <h2 id="paste-title">What to set at the other side</h2>
      <dl className="paste">
        {client.paste.map((l) => (
          <div key={l.name}>
            <dt>{l.name}</dt>
            <dd>
              <div className="row"><code>{l.value}</code> <Copy text={l.value} what={l.name} /></div>
              {l.help && <div className="soft">{l.help}</div>}
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
