import { useState } from "react";
import { Copy } from "../fields.tsx";
import { Dialog } from "../parts.tsx";
import { when } from "../words.ts";
import type { Endpoint } from "./types.ts";

interface Props { endpoint: Endpoint; readOnly: boolean; busy: boolean; onRotate: (kind: string, hours: number) => void }

// Signatures are the secrets that sign; several at once let the receiver change over.
export function Signatures({ endpoint, readOnly, busy, onRotate }: Props) {
  const [asking, setAsking] = useState(false);
  const [kind, setKind] = useState("");
  const [hours, setHours] = useState("24");
  const signing = endpoint.signing ?? [];
  return (
    <section aria-labelledby="signing-title">
      <div className="row between">
        <h2 id="signing-title">Signing secrets</h2>
        {!readOnly && <button type="button" className="quiet" disabled={busy} onClick={() => (setKind(signing[0]?.kind ?? "hmac"), setAsking(true))}>Rotate…</button>}
      </div>
      <ul className="versions" role="list">
        {signing.map((s, i) => (
          <li key={i}>
            <div>
              {s.kind === "ed25519" ? "Key pair (Ed25519)" : "Shared secret (HMAC)"} {s.ends ? <span className="chip step_up">signs until {when(s.ends)}</span> : <span className="chip clear">signs</span>}
              {s.public_key && <div className="row"><code>{s.public_key}</code> <Copy text={s.public_key} what="the public key" /></div>}
            </div>
          </li>
        ))}
      </ul>
      <Dialog title="Rotate the signing secret?" open={asking} onClose={() => setAsking(false)}>
        <p>A new one signs from now on, and is shown once.</p>
        <div className="grid">
          <div className="field"><label>Kind <select value={kind} onChange={(e) => setKind(e.target.value)}><option value="hmac">shared secret (HMAC)</option><option value="ed25519">key pair (Ed25519)</option></select></label></div>
          <div className="field">
            <label>Those before sign too{" "}
              <select value={hours} onChange={(e) => setHours(e.target.value)}><option value="0">not any more</option><option value="1">for an hour</option><option value="24">for a day</option><option value="168">for a week</option></select>
            </label>
          </div>
        </div>
        <div className="row end">
          <button type="button" className="quiet" onClick={() => setAsking(false)}>Cancel</button>
          <button type="button" onClick={() => (setAsking(false), onRotate(kind, Number(hours)))}>Rotate</button>
        </div>
      </Dialog>
    </section>
  );
}
