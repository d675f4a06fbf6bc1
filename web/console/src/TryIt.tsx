import { useEffect, useId, useRef, useState } from "react";
import { call } from "./api.ts";
import { observation, starts, type MadeUp, type Three } from "./madeup.ts";
import { Trouble } from "./parts.tsx";
import { ResultView } from "./ResultView.tsx";
import type { Palette, PolicyDocument, Problem, Result } from "./types.ts";

interface Props { document: PolicyDocument; sound: boolean; palette: Palette; onResult: (r: Result | null) => void }

// TryIt evaluates the draft on a made-up login; once tried, again whenever the draft has
// changed and is sound.
export function TryIt({ document, sound, palette, onResult }: Props) {
  const [made, setMade] = useState(starts[0]!.login);
  const [tried, setTried] = useState<MadeUp | null>(null);
  const [answer, setAnswer] = useState<{ of: PolicyDocument; login: MadeUp; result: Result } | null>(null);
  const [error, setError] = useState("");
  const give = useRef(onResult);
  give.current = onResult;
  const set = (part: Partial<MadeUp>) => setMade({ ...made, ...part });

  useEffect(() => {
    if (!tried || !sound) return;
    let wanted = true;
    call<{ result: Result | null; problems: Problem[] }>("POST", "policy/try", { document, observation: observation(tried, new Date()) }).then(
      (a) => {
        if (!wanted) return;
        setAnswer(a.result && { of: document, login: tried, result: a.result });
        setError(a.result ? "" : a.problems.map((p) => p.message).join(" ") || "The draft cannot be evaluated.");
        give.current(a.result);
      },
      (e: Error) => wanted && (setAnswer(null), setError(e.message), give.current(null)),
    );
    return () => {
      wanted = false;
    };
  }, [tried, document, sound]);

  const begin = (title: string) => {
    const login = starts.find((s) => s.title === title)?.login;
    if (login) {
      setMade(login);
      if (tried) setTried({ ...login });
    }
  };
  const stale = answer !== null && (answer.login !== tried || JSON.stringify(made) !== JSON.stringify(tried));
  return (
    <section aria-labelledby="try-title">
      <div className="row between">
        <h2 id="try-title">Try it on a made-up login</h2>
        <label className="inline">Start from{" "}
          <select value="" onChange={(e) => begin(e.target.value)}>
            <option value="">a login …</option>
            {starts.map((s) => <option key={s.title}>{s.title}</option>)}
          </select>
        </label>
      </div>
      <form className="grid" onSubmit={(e) => (e.preventDefault(), setTried({ ...made }))}>
        <ThreeField label="Is the device known?" value={made.device} onChange={(device) => set({ device })} />
        <ThreeField label="Is the network familiar?" value={made.network} onChange={(network) => set({ network })} />
        <ThreeField label="Is the country familiar?" value={made.country} onChange={(country) => set({ country })} />
        <TextField label="Travel since then, km/h" number value={made.kmh} onChange={(kmh) => set({ kmh })} />
        <TextField label="Scopes" value={made.scopes} onChange={(scopes) => set({ scopes })} />
        <ThreeField label="Is the time of day usual?" value={made.hour} onChange={(hour) => set({ hour })} />
        <TextField label="Failures of this person" number whole value={made.failures} onChange={(failures) => set({ failures })} />
        <TextField label="Failures from this network" number whole value={made.crowd} onChange={(crowd) => set({ crowd })} />
        <TextField label="Days since the last login" number value={made.dormant} onChange={(dormant) => set({ dormant })} />
        <ThreeField label="A listed anonymiser?" value={made.anonymiser} onChange={(anonymiser) => set({ anonymiser })} />
        <TextField label="Descope's score, 0 to 1" number max={1} value={made.score} onChange={(score) => set({ score })} />
        <ThreeField label="Does Descope see a bot?" value={made.bot} onChange={(bot) => set({ bot })} />
        <ThreeField label="Does Descope see a VPN?" value={made.vpn} onChange={(vpn) => set({ vpn })} />
        <TextField label="Hours since the last proof" number value={made.proofed} onChange={(proofed) => set({ proofed })} />
        <div className="row between whole">
          <span className="soft">An empty field cannot be told.</span>
          <button type="submit" disabled={!sound}>Try it</button>
        </div>
      </form>
      <Trouble>{error}</Trouble>
      <div role="region" aria-label="Result" className={stale ? "stale" : undefined}>
        {answer && <ResultView result={answer.result} document={answer.of} palette={palette} />}
        {stale && <p className="soft">The login was changed since. Try it again.</p>}
      </div>
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

interface TextFieldProps { label: string; value: string; number?: boolean; whole?: boolean; max?: number; onChange: (v: string) => void }

function TextField({ label, value, number, whole, max, onChange }: TextFieldProps) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {number ? <input id={id} type="number" min={0} max={max ?? 1e5} step={whole ? 1 : "any"} value={value} onChange={(e) => onChange(e.target.value)} />
        : <input id={id} type="text" maxLength={1000} value={value} onChange={(e) => onChange(e.target.value)} />}
    </div>
  );
}
