import { useState } from "react";
import { call, Failed, of, type Session } from "../api.ts";
import { Dialog, Loading, Trouble, useLoad } from "../parts.tsx";
import { when } from "../words.ts";
import type { SigningKey } from "./types.ts";

type List = { keys: SigningKey[] };

const states: Record<SigningKey["state"], [string, string]> = {
  next: ["next", "published ahead of its turn"], active: ["signs", "what is signed now is signed with it"],
  retiring: ["retiring", "signs no more, and is still published"], retired: ["retired", "not published any more"],
};
const uses = [["oidc", "OpenID Connect", "Clients read new keys by themselves."], ["saml", "SAML", "Service providers keep certificates by hand: give them the next one, in our metadata, before you rotate."]] as const;

const soon = 90 * 24 * 3600e3; // ms

// Keys are what ID tokens and assertions are signed with.
export function Keys({ session, tenant, say }: { session: Session; tenant: string; say: (text: string) => void }) {
  const { data, error, reload } = useLoad(`keys ${tenant}`, () => call<List>("GET", of(tenant, "keys")));
  const [asked, setAsked] = useState<"oidc" | "saml" | null>(null);
  const [leaked, setLeaked] = useState<SigningKey | null>(null);
  const [trouble, setTrouble] = useState("");
  const [busy, setBusy] = useState(false);
  const operator = session.role === "operator";
  const keys = data?.keys ?? [];
  const change = async (path: string, body: object, done: string, stale: string) => {
    setBusy(true);
    setTrouble("");
    try {
      await call<List>("POST", of(tenant, path), body);
      say(done);
      scrollTo(0, 0);
    } catch (e) {
      setTrouble(e instanceof Failed && e.status === 409 ? stale : (e as Error).message);
    } finally {
      setAsked(null);
      setLeaked(null);
      setBusy(false);
      reload();
    }
  };
  const rotate = (use: "oidc" | "saml") => change("keys/rotate", { use, signing: keys.filter((k) => k.use === use && k.state === "active").map((k) => k.kid) },
    "The keys are rotated: the next ones sign from now on.", "Somebody else rotated the keys meanwhile; nothing was done.");
  const withdraw = (k: SigningKey) => change("keys/withdraw", { kid: k.kid }, "The key is withdrawn.", "The key changed meanwhile; look again.");
  return (
    <section aria-labelledby="keys-title">
      <h2 id="keys-title">Signing keys</h2>
      <Trouble>{error || trouble}</Trouble>
      {!data && !error && <Loading what="the keys" />}
      {data && uses.map(([use, title, help]) => (
        <div key={use}>
          <div className="row between">
            <h3>{title}</h3>
            <button type="button" className="quiet" disabled={!operator || busy || !keys.some((k) => k.use === use)} onClick={() => setAsked(use)}>Rotate the keys of {title}…</button>
          </div>
          <div className="scroll" tabIndex={0} role="group" aria-label={`Keys of ${title}`}>
            <table className="cells">
              <thead><tr><th scope="col">State</th><th scope="col">Algorithm</th><th scope="col">Key</th><th scope="col">Since</th><th scope="col">Until</th><th scope="col">If it leaked</th></tr></thead>
              <tbody>
                {keys.filter((k) => k.use === use && k.state !== "retired").map((k) => (
                  <tr key={k.kid}>
                    <td><span className={`chip ${k.state === "active" ? "clear" : k.state === "next" ? "step_up" : ""}`} title={states[k.state][1]}>{states[k.state][0]}</span></td>
                    <td>{k.alg}</td>
                    <td><code title={k.kid}>{k.kid.slice(0, 12)}…</code></td>
                    <td className="when">{when(k.changed_at)}</td>
                    <td className="when">
                      {k.next_at ? when(k.next_at) : k.expires_at ? `certificate: ${when(k.expires_at)}` : ""}
                      {k.expires_at && new Date(k.expires_at).getTime() < Date.now() + soon && <div className="trouble">Its certificate ends soon: give service providers the next one, and rotate.</div>}
                    </td>
                    <td><button type="button" className="quiet" disabled={!operator || busy} aria-label={`Withdraw the key ${k.kid.slice(0, 12)}`} onClick={() => setLeaked(k)}>Withdraw…</button></td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          <p className="soft">{help}</p>
        </div>
      ))}
      <Dialog title={`Rotate the keys of ${uses.find(([u]) => u === asked)?.[1] ?? ""}?`} open={asked !== null} onClose={() => setAsked(null)}>
        <p>{asked === "saml" ? "The next certificate signs from now on. Service providers that do not know it yet refuse our assertions until they do." : "The next keys sign from now on. Those that signed stay published for a while, so that nothing that they signed is refused."}</p>
        <div className="row end">
          <button type="button" className="quiet" onClick={() => setAsked(null)}>Cancel</button>
          <button type="button" disabled={busy} onClick={() => asked && void rotate(asked)}>Rotate</button>
        </div>
      </Dialog>
      <Dialog title="Withdraw this key?" open={leaked !== null} onClose={() => setLeaked(null)}>
        <p>
          That is for a key that somebody else may have. What it signed is good for nothing from now on{leaked?.state === "active" && ": whoever signed in with it a moment ago has to begin again"}.
          {leaked?.use === "saml" && leaked.state === "active" && " Service providers that do not know the next certificate yet refuse our assertions until they do."}
        </p>
        <div className="row end">
          <button type="button" className="quiet" onClick={() => setLeaked(null)}>Cancel</button>
          <button type="button" disabled={busy} onClick={() => leaked && void withdraw(leaked)}>Withdraw it</button>
        </div>
      </Dialog>
    </section>
  );
}
