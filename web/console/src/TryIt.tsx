import { useId, useState } from "react";
import { call, type Observation } from "./api.ts";
import { Trouble } from "./parts.tsx";
import { ResultView } from "./ResultView.tsx";
import type { Palette, PolicyDocument, Problem, Result } from "./types.ts";

type Three = "yes" | "no" | "unknown";

// login is a made-up one, in the words of the form.
export interface MadeUp {
  device: Three; network: Three; country: Three; kmh: string; scopes: string; hour: Three; failures: string; dormant: string; anonymiser: Three;
  score: string; bot: Three; vpn: Three; proofed: string;
}

export const familiar: MadeUp = {
  device: "yes", network: "yes", country: "yes", kmh: "", scopes: "openid", hour: "unknown", failures: "0", dormant: "1", anonymiser: "unknown", score: "", bot: "unknown", vpn: "unknown", proofed: "",
};

const tri = (t: Three) => (t === "unknown" ? null : t === "yes");

// observation turns it into what signals read (internal/risk/observation.go).
export function observation(m: MadeUp, now: Date): Observation {
  const back = (ms: number) => new Date(now.getTime() - ms).toISOString();
  const o: Observation = {
    at: now.toISOString(), device_known: tri(m.device), device_trusted: null, device_source: m.device === "unknown" ? undefined : "cookie",
    address_seen: tri(m.network), network_seen: tri(m.network), as_seen: tri(m.network), country_seen: tri(m.country), descope_travel: null,
    attempts: { subject: 1, device: 0, network: 0 }, failures: { subject: Number(m.failures) || 0, device: 0, network: 0 }, window: 900e9, logins: 10,
    vpn: tri(m.vpn), bot: tri(m.bot), proofing_known: true,
  };
  if (m.network !== "unknown" || m.country !== "unknown" || m.anonymiser !== "unknown" || m.kmh) {
    Object.assign(o, { address: "public", ip: "an address", asn: 64496, as_name: "a network" });
  }
  if (m.country !== "unknown") Object.assign(o, { country: m.country === "yes" ? "DE" : "AU", known_countries: ["DE"] });
  if (m.scopes !== "") Object.assign(o, { scopes: m.scopes.split(/[\s,]+/).filter(Boolean), scopes_given: true });
  if (m.kmh !== "") o.travels = [{ from_country: "DE", km: Number(m.kmh) + 200, radius_km: 0, hours: 1 }];
  if (m.dormant !== "") o.last_login = back(Number(m.dormant) * 864e5);
  if (m.hour !== "unknown") Object.assign(o, { hour_samples: 100, hour_share: m.hour === "yes" ? 0.4 : 0 });
  if (m.anonymiser !== "unknown") Object.assign(o, { listed: true, anonymiser: m.anonymiser === "yes" ? "a VPN" : undefined });
  if (m.score !== "") o.risk_score = Number(m.score);
  if (m.proofed !== "") Object.assign(o, { proofed_at: back(Number(m.proofed) * 36e5), proofed_by: "verification" });
  return o;
}

export function TryIt({ document, palette, onResult }: { document: PolicyDocument; palette: Palette; onResult: (r: Result | null) => void }) {
  const [made, setMade] = useState(familiar);
  const [result, setResult] = useState<Result | null>(null);
  const [error, setError] = useState("");
  const set = (part: Partial<MadeUp>) => setMade({ ...made, ...part });
  const run = async () => {
    setError("");
    try {
      const answer = await call<{ result: Result | null; problems: Problem[] }>("POST", "policy/try", { document, observation: observation(made, new Date()) });
      setResult(answer.result);
      onResult(answer.result);
      if (!answer.result) setError(answer.problems.map((p) => p.message).join(" ") || "The draft cannot be evaluated.");
    } catch (e) {
      setError((e as Error).message);
    }
  };
  return (
    <section aria-labelledby="try-title">
      <h2 id="try-title">Try it on a made-up login</h2>
      <form className="grid" onSubmit={(e) => (e.preventDefault(), void run())}>
        <ThreeField label="Is the device known?" value={made.device} onChange={(device) => set({ device })} />
        <ThreeField label="Is the network familiar?" value={made.network} onChange={(network) => set({ network })} />
        <ThreeField label="Is the country familiar?" value={made.country} onChange={(country) => set({ country })} />
        <TextField label="Travel since the last login, km/h" kind="number" value={made.kmh} onChange={(kmh) => set({ kmh })} />
        <TextField label="Scopes" value={made.scopes} onChange={(scopes) => set({ scopes })} />
        <ThreeField label="Is the time of day usual?" value={made.hour} onChange={(hour) => set({ hour })} />
        <TextField label="Failures just before" kind="number" value={made.failures} onChange={(failures) => set({ failures })} />
        <TextField label="Days since the last login" kind="number" value={made.dormant} onChange={(dormant) => set({ dormant })} />
        <ThreeField label="Is it on the list of anonymisers?" value={made.anonymiser} onChange={(anonymiser) => set({ anonymiser })} />
        <TextField label="Descope's score, 0 to 1" kind="number" value={made.score} onChange={(score) => set({ score })} />
        <ThreeField label="Does Descope see a bot?" value={made.bot} onChange={(bot) => set({ bot })} />
        <ThreeField label="Does Descope see a VPN?" value={made.vpn} onChange={(vpn) => set({ vpn })} />
        <TextField label="Proved hours ago" kind="number" value={made.proofed} onChange={(proofed) => set({ proofed })} />
        <div className="row end"><button type="submit">Try it</button></div>
      </form>
      <p className="soft">An empty field cannot be told.</p>
      <Trouble>{error}</Trouble>
      <div role="region" aria-label="Result" aria-live="polite">{result && <ResultView result={result} document={document} palette={palette} />}</div>
    </section>
  );
}

function ThreeField({ label, value, onChange }: { label: string; value: Three; onChange: (t: Three) => void }) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select id={id} value={value} onChange={(e) => onChange(e.target.value as Three)}>
        <option value="yes">Yes</option>
        <option value="no">No</option>
        <option value="unknown">Cannot be told</option>
      </select>
    </div>
  );
}

function TextField({ label, value, kind = "text", onChange }: { label: string; value: string; kind?: "text" | "number"; onChange: (v: string) => void }) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input id={id} type={kind} step="any" min={kind === "number" ? 0 : undefined} value={value} onChange={(e) => onChange(e.target.value)} />
    </div>
  );
}
