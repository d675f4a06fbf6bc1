import { useEffect, useRef, useState } from "react";
import { call, of, query, type Session } from "../api.ts";
import { Pages } from "../hooks/Events.tsx";
import { Dialog, Loading, Trouble, useLoad } from "../parts.tsx";
import { when } from "../words.ts";
import { AttemptView } from "./AttemptView.tsx";
import { deliveryChips, type Attempt, type Delivery, type Endpoint, type ReplayProgress } from "./types.ts";

interface Props { session: Session; tenant: string; say: (text: string) => void }

// Deliveries is the log of what was told.
export function Deliveries({ session, tenant, say, endpoints }: Props & { endpoints: Endpoint[] }) {
  const [filter, setFilter] = useState({ endpoint: "", type: "", state: "" });
  const [typed, setTyped] = useState("");
  const [older, setOlder] = useState<string[]>([]);
  const [asking, setAsking] = useState(false);
  const path = of(tenant, "deliveries") + query({ ...filter, before: older.at(-1) ?? "" });
  const { data, error, reload } = useLoad(path, () => call<{ deliveries: Delivery[]; next: string }>("GET", path));
  const find = (part: Partial<typeof filter>) => (setOlder([]), setFilter({ ...filter, ...part }));
  const name = (id: string) => endpoints.find((e) => e.id === id)?.name ?? "an endpoint that is gone";
  const all = session.role === "operator" && (filter.state === "failed" || filter.state === "delivered");
  return (
    <section aria-labelledby="deliveries-title">
      <h2 id="deliveries-title">Deliveries</h2>
      <form className="row" onSubmit={(e) => (e.preventDefault(), find({ type: typed.trim() }))}>
        <label className="inline">Endpoint{" "}
          <select value={filter.endpoint} onChange={(e) => find({ endpoint: e.target.value })}><option value="">any</option>{endpoints.map((e) => <option key={e.id} value={e.id}>{e.name}</option>)}</select>
        </label>
        <label className="inline">State{" "}
          <select value={filter.state} onChange={(e) => find({ state: e.target.value })}>{["", "waiting", "delivered", "failed"].map((s) => <option key={s} value={s}>{s || "any"}</option>)}</select>
        </label>
        <label className="inline">Type <input type="text" spellCheck={false} value={typed} onChange={(e) => setTyped(e.target.value)} /></label>
        <button type="submit" className="quiet">Find</button>
        <button type="button" className="quiet" onClick={reload}>Look again</button>
        {all && <button type="button" className="quiet" disabled={!data?.deliveries.length} onClick={() => setAsking(true)}>Replay all of these…</button>}
      </form>
      <Trouble>{error}</Trouble>
      {!data && !error && <Loading what="deliveries" />}
      {data?.deliveries.length === 0 && <p>None was found.</p>}
      {data && data.deliveries.length > 0 && (
        <table className="decisions">
          <thead><tr><th scope="col">When</th><th scope="col">Type</th><th scope="col">To</th><th scope="col">State</th><th scope="col" className="n">Attempts</th></tr></thead>
          <tbody>
            {data.deliveries.map((d) => (
              <tr key={d.id}>
                <td className="when"><a href={`#/deliveries/${d.id}`}>{when(d.created_at)}</a></td>
                <td><b>{d.type}</b> {d.replay && <span className="chip">replay</span>} {d.test && <span className="chip">test</span>}</td>
                <td>{name(d.endpoint)}</td>
                <td><span className={`chip ${deliveryChips[d.state]}`}>{d.state}</span> {d.reason && <span className="soft">{d.reason}</span>}</td>
                <td className="n" data-name="attempts">{d.attempts}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <Pages older={older} next={data?.next ?? ""} onGo={setOlder} />
      <ReplayAll {...{ tenant, say, filter }} what={`${filter.state}${filter.endpoint && ` to ${name(filter.endpoint)}`}${filter.type && ` of type ${filter.type}`}`} open={asking} onClose={() => setAsking(false)} onDone={reload} />
    </section>
  );
}

interface AllProps { tenant: string; filter: { endpoint: string; type: string; state: string }; what: string; open: boolean; say: (text: string) => void; onClose: () => void; onDone: () => void }

// ReplayAll goes through what a filter finds, a bite at a time, and can be stopped in
// between: what is queued by then stays.
function ReplayAll({ tenant, filter, what, open, say, onClose, onDone }: AllProps) {
  const [since, setSince] = useState("24");
  const [told, setTold] = useState<{ queued: number; skipped: number } | null>(null);
  const [error, setError] = useState("");
  const turn = useRef(0); // counts up when it is to stop
  const stop = () => {
    turn.current++;
    setTold(null);
  };
  useEffect(() => () => void turn.current++, []);
  const run = async () => {
    const mine = ++turn.current;
    const until = new Date();
    const body = { ...filter, until: until.toISOString(), ...(since && { since: new Date(until.getTime() - Number(since) * 3_600_000).toISOString() }) };
    let sum = { queued: 0, skipped: 0 };
    setError("");
    setTold(sum);
    try {
      for (let before = ""; turn.current === mine; ) {
        const p = await call<ReplayProgress>("POST", of(tenant, "deliveries/replay"), { ...body, before });
        sum = { queued: sum.queued + p.queued, skipped: sum.skipped + p.skipped };
        if (turn.current !== mine) break;
        setTold(sum);
        before = p.next;
        if (!before) {
          say(`${sum.queued.toLocaleString()} are sent again${sum.skipped ? `; ${sum.skipped.toLocaleString()} cannot be, or were tests or replays` : ""}.`);
          scrollTo(0, 0);
          stop();
          onClose();
          break;
        }
      }
    } catch (e) {
      setTold(null);
      setError((e as Error).message);
    }
    onDone();
  };
  return (
    <Dialog title="Replay all of these?" open={open} onClose={() => (stop(), onClose())}>
      <p>All that are {what} are sent again, with the same webhook-id: receivers that have one already know that.</p>
      <label className="inline">
        Of{" "}
        <select value={since} disabled={!!told} onChange={(e) => setSince(e.target.value)}><option value="1">the last hour</option><option value="24">the last day</option><option value="168">the last week</option><option value="">all the time that is kept</option></select>
      </label>
      <p role="status">{told && `${told.queued.toLocaleString()} so far …`}</p>
      <Trouble>{error}</Trouble>
      <div className="row end">
        <button type="button" className="quiet" onClick={() => (stop(), onClose())}>{told ? "Stop" : "Cancel"}</button>
        <button type="button" disabled={!!told} onClick={() => void run()}>Replay</button>
      </div>
    </Dialog>
  );
}

export function DeliveryPage({ session, tenant, id }: Props & { id: string }) {
  const { data, error, reload } = useLoad(`delivery ${tenant} ${id}`, () => call<{ delivery: Delivery; attempts: Attempt[] }>("GET", of(tenant, `deliveries/${encodeURIComponent(id)}`)));
  const [trouble, setTrouble] = useState("");
  const [busy, setBusy] = useState(false);
  const d = data?.delivery;
  const title = d?.type ?? "Delivery";
  useEffect(() => {
    document.title = `${title} – Kosmoscope`;
  }, [title]);
  const replay = async () => {
    setTrouble("");
    setBusy(true);
    try {
      const a = await call<{ delivery: Delivery }>("POST", of(tenant, `deliveries/${encodeURIComponent(id)}/replay`), {});
      location.hash = `#/deliveries/${a.delivery.id}`;
    } catch (e) {
      setTrouble((e as Error).message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <p className="back"><a href="#/endpoints">All endpoints and deliveries</a></p>
      <div className="head">
        <h1 tabIndex={-1}>{title}</h1>
        <div className="row">
          <button type="button" className="quiet" onClick={reload}>Look again</button>
          {d && session.role === "operator" && <button type="button" className="quiet" disabled={busy} onClick={() => void replay()}>Replay</button>}
        </div>
        {d && (
          <dl className="facts">
            <div><dt>State</dt><dd><span className={`chip ${deliveryChips[d.state]}`}>{d.state}</span> {d.reason} {d.test && <span className="chip">test</span>} {d.replay && <span className="chip">replay</span>}</dd></div>
            <div><dt>Made</dt><dd>{when(d.created_at)}</dd></div>
            {d.state === "waiting" && d.next_at && <div><dt>Next attempt</dt><dd>{when(d.next_at)}</dd></div>}
            <div><dt>webhook-id</dt><dd><code>{d.message}</code></dd></div>
            <div><dt>Endpoint</dt><dd><a href={`#/endpoints/${d.endpoint}`}>the endpoint</a></dd></div>
          </dl>
        )}
      </div>
      <Trouble>{trouble || error}</Trouble>
      {!data && !error && <Loading what="the delivery" />}
      {data && data.attempts.length === 0 && <section aria-label="Attempts"><p>It was not tried yet.</p></section>}
      {data?.attempts.slice().reverse().map((a) => (
        <section key={a.number} aria-label={`Attempt ${a.number}`}>
          <h2>Attempt {a.number} <span className="soft">{when(a.at)}</span></h2>
          <AttemptView attempt={a} />
        </section>
      ))}
    </>
  );
}
