import { useEffect, useRef, useState } from "react";
import { call, Failed, of, type Session } from "../api.ts";
import { Corrections, Once } from "../fields.tsx";
import { Dialog, Loading, Trouble, useLoad } from "../parts.tsx";
import { when } from "../words.ts";
import { AttemptView } from "./AttemptView.tsx";
import { EndpointForm } from "./EndpointForm.tsx";
import { Signatures } from "./Signatures.tsx";
import { blank, fieldLabel, inputOf, shapeName, type Attempt, type Delivery, type Endpoint, type EndpointList, type Input, type ShapeInfo } from "./types.ts";

interface Props { session: Session; tenant: string; say: (text: string) => void }

// EndpointPage is one endpoint, or with the id "new" one that is to be made.
export function EndpointPage({ session, tenant, say, id }: Props & { id: string }) {
  const { data, error } = useLoad(`endpoints ${tenant}`, () => call<EndpointList>("GET", of(tenant, "endpoints")));
  const endpoint = data?.endpoints.find((e) => e.id === id) ?? null;
  if (error || (data && !endpoint && id !== "new")) return <><h1>Endpoint</h1><Trouble>{error || "There is no such endpoint (any more)."}</Trouble></>;
  if (!data) return <><h1>Endpoint</h1><Loading what="the endpoint" /></>;
  return <Editor {...{ session, tenant, say }} shapes={data.shapes} first={endpoint} />;
}

type Kept = { endpoint: Endpoint; secret?: string };

function Editor({ session, tenant, say, shapes, first }: Props & { shapes: ShapeInfo[]; first: Endpoint | null }) {
  const [endpoint, setEndpoint] = useState(first);
  const [kept, setKept] = useState<Input>(first ? inputOf(first) : blank);
  const [input, setInput] = useState(kept);
  const [left, setLeft] = useState<Set<string>>(new Set()); // fields that somebody was in
  const [refused, setRefused] = useState<Record<string, string>>({});
  const [secret, setSecret] = useState("");
  const [test, setTest] = useState<{ delivery: Delivery; attempt: Attempt } | null>(null);
  const [error, setError] = useState("");
  const [stale, setStale] = useState(false);
  const [busy, setBusy] = useState("");
  const [deleting, setDeleting] = useState(false);
  const top = useRef<HTMLHeadingElement>(null);
  const readOnly = session.role !== "operator";
  const checked = useWrong(tenant, input, !!endpoint || readOnly);
  const tried = Object.keys(refused).length > 0;
  const now = endpoint ? refused : checked;
  const wrong = endpoint ? refused : Object.fromEntries(Object.entries(now).filter(([f]) => tried || left.has(f)));
  const changed = JSON.stringify(input) !== JSON.stringify(kept);
  const path = (more = "") => of(tenant, `endpoints/${endpoint?.id ?? ""}${more}`);

  const take = (a: Kept, said: string) => {
    setEndpoint(a.endpoint);
    setKept(inputOf(a.endpoint));
    setInput(inputOf(a.endpoint));
    setRefused({});
    setLeft(new Set());
    setStale(false);
    if (a.secret) {
      setSecret(a.secret);
      scrollTo(0, 0);
    }
    say(said);
  };
  const guard = async (what: string, work: () => Promise<void>) => {
    setBusy(what);
    setError("");
    try {
      await work();
    } catch (e) {
      if (e instanceof Failed && e.trouble.fields) setRefused(e.trouble.fields);
      else if (e instanceof Failed && e.status === 409 && e.trouble.reason === "stale") setStale(true);
      else setError((e as Error).message);
    } finally {
      setBusy("");
    }
  };
  const save = () => guard("save", async () => {
    if (endpoint) return take(await call<Kept>("PUT", path(), { endpoint: input }), "The endpoint is saved.");
    const a = await call<Kept>("POST", of(tenant, "endpoints"), { endpoint: input });
    history.replaceState(null, "", `#/endpoints/${a.endpoint.id}`);
    take(a, "The endpoint is made. Test it now.");
    if (!a.secret) top.current?.focus();
    scrollTo(0, 0);
  });
  const enable = () => guard("enable", async () => take(await call<Kept>("POST", path("/enable"), {}), "The endpoint is on. What failed meanwhile can be replayed."));
  const reload = () => guard("load", async () => take(await call<Kept>("GET", path()), "This is the endpoint as it is now."));
  const send = () => guard("test", async () => {
    setTest(null);
    setTest(await call("POST", path("/test"), {}));
  });
  const remove = () => guard("delete", async () => {
    setDeleting(false);
    await call("DELETE", path());
    location.hash = "#/endpoints";
  });
  const heading = endpoint?.name ?? "New endpoint";
  useEffect(() => {
    document.title = `${heading} – Kosmoscope`;
  }, [heading]);

  return (
    <>
      <p className="back"><a href="#/endpoints">All endpoints</a></p>
      <div className="head">
        <div>
          <h1 tabIndex={-1} ref={top}>{heading}</h1>
          {endpoint && <p className="soft">{shapeName(endpoint.shape)} · {endpoint.url}{endpoint.disabled && <> · <span className="chip deny">off</span></>}</p>}
        </div>
        {endpoint && !readOnly && (
          <div className="row">
            <button type="button" className="quiet" disabled={!!busy || changed} onClick={() => void send()}>{busy === "test" ? "Sending …" : "Send a test"}</button>
            {endpoint.disabled && <button type="button" className="quiet" disabled={!!busy || changed} onClick={() => void enable()}>Switch it on</button>}
            <button type="button" className="quiet" disabled={!!busy} onClick={() => setDeleting(true)}>Delete…</button>
          </div>
        )}
      </div>
      {endpoint?.why && <p className="note">It was switched off by itself: {endpoint.why}.</p>}
      {endpoint?.failing_since && !endpoint.disabled && <p className="note">Nothing has arrived since {when(endpoint.failing_since)}. After some days it is switched off.</p>}
      {readOnly && <p className="note">You are signed in as a viewer. Changing an endpoint needs the role operator.</p>}
      {secret && <Once what={secret.startsWith("whpk_") ? "The public key for the receiver" : "The signing secret for the receiver"} secret={secret} onClose={() => (setSecret(""), top.current?.focus())} />}
      <div role="status">
        {test && (
          <section aria-labelledby="test-title">
            <h2 id="test-title">{test.delivery.state === "delivered" ? "The test arrived" : "The test did not arrive"}</h2>
            <AttemptView attempt={test.attempt} />
            <p><a href={`#/deliveries/${test.delivery.id}`}>In the log</a></p>
          </section>
        )}
      </div>
      {endpoint && (endpoint.signing ?? []).length > 0 && <Signatures {...{ endpoint, readOnly }} busy={!!busy || changed} onRotate={(kind, hours) => guard("rotate", async () => take(await call<Kept>("POST", path("/rotate"), { kind, hours }), "A new secret signs. The ones before sign too until they end."))} />}
      <form noValidate onSubmit={(e) => (e.preventDefault(), void save())}>
        <EndpointForm key={endpoint?.version ?? 0} {...{ input, shapes, wrong, readOnly, endpoint }} onChange={setInput} onLeave={(f) => setLeft((s) => (s.has(f) ? s : new Set(s).add(f)))} />
        {tried && <Corrections fields={now} labels={fieldLabel} />}
        <Trouble>{error}</Trouble>
        <div role="alert" className={stale ? "trouble" : undefined}>
          {stale && (
            <>
              <p>Somebody else changed this endpoint meanwhile. Nothing was saved.</p>
              <div className="row"><button type="button" className="quiet" onClick={() => void reload()}>Drop my changes and load theirs</button></div>
            </>
          )}
        </div>
        {!readOnly && (
          <div className="row end">
            {changed && endpoint && <button type="button" className="quiet" onClick={() => (setInput(kept), setRefused({}))}>Drop the changes</button>}
            <button type="submit" disabled={!!busy || (!!endpoint && !changed)}>{endpoint ? "Save" : "Make the endpoint"}</button>
          </div>
        )}
      </form>
      <Dialog title={`Delete ${heading}?`} open={deleting} onClose={() => setDeleting(false)}>
        <p>What still waits for it fails, and it cannot be taken back; the log stays. To stop it for a while, switch it off.</p>
        <div className="row end">
          <button type="button" className="quiet" onClick={() => setDeleting(false)}>Cancel</button>
          <button type="button" disabled={!!busy} onClick={() => void remove()}>Delete the endpoint</button>
        </div>
      </Dialog>
    </>
  );
}

// useWrong has the server check a new endpoint, a moment after its last change. One that
// is saved already is checked when it is saved: its secrets are not here.
function useWrong(tenant: string, input: Input, off: boolean): Record<string, string> {
  const [wrong, setWrong] = useState<Record<string, string>>({});
  useEffect(() => {
    if (off) return;
    let wanted = true;
    const wait = setTimeout(() => {
      call<{ fields: Record<string, string> }>("POST", of(tenant, "endpoints/check"), { endpoint: input }).then((a) => wanted && setWrong(a.fields), () => {}); // saving says it again
    }, 250);
    return () => {
      wanted = false;
      clearTimeout(wait);
    };
  }, [tenant, input, off]);
  return wrong;
}
