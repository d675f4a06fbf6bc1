import { useEffect, useState } from "react";
import { call, of, query, type Session } from "../api.ts";
import { Loading, Trouble, useLoad } from "../parts.tsx";
import { when } from "../words.ts";
import { kindName, sources, workChips, workStates, type Event, type Work } from "./types.ts";

interface Props { session: Session; tenant: string; say: (text: string) => void }

const eventChips: Record<Event["state"], string> = { waiting: "step_up", done: "clear", parked: "deny" };

// Events lists what happened, and what needs somebody to look.
export function Events({ session, tenant, say }: Props) {
  const [action, setAction] = useState("");
  const [state, setState] = useState("");
  const [older, setOlder] = useState<string[]>([]); // where the pages before began
  const [typed, setTyped] = useState("");
  const before = older.at(-1) ?? "";
  const path = of(tenant, "events") + query({ action, state, before });
  const { data, error, reload } = useLoad(path, () => call<{ events: Event[]; next: string }>("GET", path));
  useEffect(() => {
    document.title = "Events – Kosmoscope";
  }, []);
  return (
    <>
      <div className="head"><div><h1 tabIndex={-1}>Events</h1><p className="soft">What Descope told us, and what ended here; newest first.</p></div></div>
      <Attention {...{ session, tenant, say }} />
      <section aria-label="Events">
        <form className="row" onSubmit={(e) => (e.preventDefault(), setOlder([]), setAction(typed.trim()))}>
          <label className="inline">Action <input type="text" spellCheck={false} value={typed} onChange={(e) => setTyped(e.target.value)} /></label>
          <label className="inline">State{" "}
            <select value={state} onChange={(e) => (setOlder([]), setState(e.target.value))}>{["", "waiting", "done", "parked"].map((s) => <option key={s} value={s}>{s || "any"}</option>)}</select>
          </label>
          <button type="submit" className="quiet">Find</button>
          <button type="button" className="quiet" onClick={reload}>Look again</button>
        </form>
        <Trouble>{error}</Trouble>
        {!data && !error && <Loading what="events" />}
        {data?.events.length === 0 && <p>None was found.</p>}
        {data && data.events.length > 0 && (
          <table className="decisions">
            <thead><tr><th scope="col">Received</th><th scope="col">Action</th><th scope="col">Who</th><th scope="col">From</th><th scope="col">State</th></tr></thead>
            <tbody>
              {data.events.map((e) => (
                <tr key={e.id}>
                  <td className="when"><a href={`#/events/${e.id}`}>{when(e.received_at)}</a></td>
                  <td><b>{e.action || "(none)"}</b></td>
                  <td>{e.user}</td>
                  <td className="soft">{sources[e.source] ?? e.source}</td>
                  <td><span className={`chip ${eventChips[e.state]}`}>{e.state}</span> {e.reason && <span className="soft">{e.reason}</span>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        <Pages older={older} next={data?.next ?? ""} onGo={setOlder} />
      </section>
    </>
  );
}

// Pages goes back and forth in a list that is read by where it goes on.
export function Pages({ older, next, onGo }: { older: string[]; next: string; onGo: (older: string[]) => void }) {
  if (!older.length && !next) return null;
  return (
    <div className="row end">
      <button type="button" className="quiet" disabled={!older.length} onClick={() => onGo(older.slice(0, -1))}>Newer</button>
      <button type="button" className="quiet" disabled={!next} onClick={() => onGo([...older, next])}>Older</button>
    </div>
  );
}

// Attention is work that failed, or of which nobody knows whether it was done.
function Attention({ session, tenant, say }: Props) {
  const load = (state: string) => call<{ work: Work[]; next: string }>("GET", of(tenant, "work") + query({ state, limit: "20" }));
  const { data, error, reload } = useLoad(`attention ${tenant}`, () => Promise.all([load("parked"), load("failed")]));
  const work = data?.flatMap((d) => d.work) ?? [];
  const more = data?.some((d) => d.next) ?? false;
  if (error) return <Trouble>{error}</Trouble>;
  if (!work.length) return null;
  return (
    <section aria-labelledby="attention-title">
      <h2 id="attention-title">What needs somebody to look</h2>
      <WorkList {...{ session, tenant, work, say }} linked onChanged={reload} />
      {more && <p className="soft">There is more of it.</p>}
    </section>
  );
}

interface WorkProps extends Props { work: Work[]; linked?: boolean; onChanged: () => void }

function WorkList({ session, tenant, work, linked, say, onChanged }: WorkProps) {
  const [error, setError] = useState("");
  const [busy, setBusy] = useState("");
  const operator = session.role === "operator";
  const change = async (w: Work, how: "retry" | "drop") => {
    setBusy(w.id);
    setError("");
    try {
      await call<Work>("POST", of(tenant, `work/${w.id}/${how}`), {});
      say(how === "retry" ? "It will be done again." : "It will not be done any more.");
    } catch (e) {
      setError((e as Error).message);
    } finally {
      setBusy("");
      onChanged();
    }
  };
  return (
    <>
      <Trouble>{error}</Trouble>
      <ul className="versions" role="list">
        {work.map((w) => (
          <li key={w.id}>
            <div>
              <b>{w.action || kindName(w.kind)}</b> <span className={`chip ${workChips[w.state]}`}>{workStates[w.state]}</span> {w.reason && <span className="soft">{w.reason}</span>}
              <div className="soft">Rule {w.rule}, {w.tries === 1 ? "tried once" : `tried ${w.tries} times`}, {when(w.ended_at ?? w.created_at)}{linked && <> · <a href={`#/events/${w.event}`}>the event</a></>}</div>
              {w.result && <div>{w.result}</div>}
              {w.state === "parked" && w.effect === "unknown" && <div className="soft">Nobody knows whether it was done. Look at the other side first: done again, it may be done twice.</div>}
            </div>
            {operator && (w.may_retry || w.may_drop) && (
              <div className="row">
                {w.may_retry && <button type="button" className="quiet" disabled={busy === w.id} aria-label={`Do it again: ${w.action || kindName(w.kind)}`} onClick={() => void change(w, "retry")}>Do it again</button>}
                {w.may_drop && <button type="button" className="quiet" disabled={busy === w.id} aria-label={`Drop it: ${w.action || kindName(w.kind)}`} onClick={() => void change(w, "drop")}>Drop it</button>}
              </div>
            )}
          </li>
        ))}
      </ul>
    </>
  );
}

export function EventPage({ session, tenant, say, id }: Props & { id: string }) {
  const { data: e, error, reload } = useLoad(`event ${tenant} ${id}`, () => call<Event>("GET", of(tenant, `events/${encodeURIComponent(id)}`)));
  const [trouble, setTrouble] = useState("");
  const title = e ? e.action || "An event without an action" : "Event";
  useEffect(() => {
    document.title = `${title} – Kosmoscope`;
  }, [title]);
  const again = async () => {
    setTrouble("");
    try {
      await call<Event>("POST", of(tenant, `events/${encodeURIComponent(id)}/again`), {});
      say("The rules will be evaluated on it again.");
    } catch (x) {
      setTrouble((x as Error).message);
    }
    reload();
  };
  return (
    <>
      <p className="back"><a href="#/events">All events</a></p>
      <div className="head">
        <h1 tabIndex={-1}>{title}</h1>
        {e?.state === "parked" && session.role === "operator" && <button type="button" className="quiet" onClick={() => void again()}>Evaluate it again</button>}
        {e && (
          <dl className="facts">
            <div><dt>State</dt><dd><span className={`chip ${eventChips[e.state]}`}>{e.state}</span> {e.reason}</dd></div>
            <div><dt>Happened</dt><dd>{when(e.occurred_at)}</dd></div>
            <div><dt>Received</dt><dd>{when(e.received_at)}, {sources[e.source] ?? e.source}</dd></div>
            {e.state === "done" && <div><dt>Evaluated with</dt><dd>{e.rules === 0 ? "the rules as shipped" : `version ${e.rules}`}</dd></div>}
            {e.user && <div><dt>Who</dt><dd>{e.user}</dd></div>}
          </dl>
        )}
      </div>
      <Trouble>{trouble || error}</Trouble>
      {!e && !error && <Loading what="the event" />}
      {e && (
        <>
          <section aria-labelledby="came-title">
            <h2 id="came-title">What came of it</h2>
            {(e.work ?? []).length === 0 && <p>{e.state === "done" ? "No rule fired." : "Nothing yet."}</p>}
            <WorkList {...{ session, tenant, say }} work={e.work ?? []} onChanged={reload} />
          </section>
          <section aria-labelledby="says-title">
            <h2 id="says-title">What it says</h2>
            {e.content ? <pre tabIndex={0} aria-labelledby="says-title">{JSON.stringify(e.content, null, 2)}</pre>
              : <p className="soft">{e.hidden ? "Operators alone see it: it is about a person." : "It is not kept: the person was erased, or it cannot be read."}</p>}
          </section>
        </>
      )}
    </>
  );
}
