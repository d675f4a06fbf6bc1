import { useState } from "react";
import { call, of } from "../api.ts";
import { Dialog } from "../parts.tsx";
import { when } from "../words.ts";
import type { Client, ClientOptions, Secret } from "./types.ts";

interface Props {
  tenant: string; client: Client; options: ClientOptions; readOnly: boolean; busy: boolean;
  guard: (work: () => Promise<void>) => Promise<void>; onChange: (c: Client, said: string) => void; onSecret: (secret: string) => void;
}

// Secrets of a client: several at once let its side change over.
export function Secrets({ tenant, client, options, readOnly, busy, guard, onChange, onSecret }: Props) {
  const [ending, setEnding] = useState<Secret | null>(null);
  const [hours, setHours] = useState("24");
  const [days, setDays] = useState("");
  const path = of(tenant, `clients/${encodeURIComponent(client.client_id)}/secrets`);
  const holding = client.secrets.filter((s) => s.holds);
  const add = () => guard(async () => {
    const a = await call<{ client: Client; secret: string }>("POST", path, { version: client.version, ...(days && { days: Number(days) }) });
    onChange(a.client, "A secret was added. The others hold until they are ended.");
    onSecret(a.secret);
    scrollTo(0, 0);
  });
  const end = (s: Secret) => guard(async () => {
    setEnding(null);
    const a = await call<{ client: Client }>("POST", `${path}/${encodeURIComponent(s.id)}`, { version: client.version, hours: Number(hours) });
    onChange(a.client, hours === "0" ? "The secret does not hold any more." : `The secret holds for ${spans[hours]}.`);
  });
  return (
    <section aria-labelledby="secrets-title">
      <h2 id="secrets-title">Secrets</h2>
      {holding.length === 0 && <p className="trouble">No secret holds: the client cannot authenticate.</p>}
      <ul className="versions" role="list">
        {client.secrets.map((s) => (
          <li key={s.id}>
            <div>
              {client.fixed ? s.id.replace("configuration-", "Of the configuration, no. ") : <>Made {when(s.created_at)}</>}{" "}
              {s.holds ? s.expires_at && <span className="chip step_up">ends {when(s.expires_at)}</span> : <span className="chip">ended {s.expires_at && when(s.expires_at)}</span>}
            </div>
            {!readOnly && s.holds && <button type="button" className="quiet" disabled={busy} aria-label={`End the secret of ${when(s.created_at)}`} onClick={() => setEnding(s)}>End…</button>}
          </li>
        ))}
      </ul>
      {!readOnly && (
        <div className="row">
          <label className="inline">
            Add one that{" "}
            <select value={days} onChange={(e) => setDays(e.target.value)}>
              <option value="">does not end</option>
              {["30", "90", "180", "365"].map((d) => <option key={d} value={d}>ends after {d} days</option>)}
            </select>
          </label>
          <button type="button" className="quiet" disabled={busy || holding.length >= options.secrets} onClick={() => void add()}>Add a secret</button>
          {holding.length >= options.secrets && <span className="soft">{options.secrets} hold already; end one first.</span>}
        </div>
      )}
      <Dialog title="End this secret?" open={ending !== null} onClose={() => setEnding(null)}>
        <p>{holding.length === 1 ? "It is the only one that holds: afterwards the client cannot authenticate until you add another." : "Its side must use another one by then."}</p>
        <label className="inline">
          It ends{" "}
          <select value={hours} onChange={(e) => setHours(e.target.value)}>
            <option value="0">now</option>
            {Object.entries(spans).map(([h, text]) => <option key={h} value={h}>in {text}</option>)}
          </select>
        </label>
        <div className="row end">
          <button type="button" className="quiet" onClick={() => setEnding(null)}>Cancel</button>
          <button type="button" onClick={() => ending && void end(ending)}>End it</button>
        </div>
      </Dialog>
    </section>
  );
}

const spans: Record<string, string> = { "1": "an hour", "24": "a day", "168": "a week" };
