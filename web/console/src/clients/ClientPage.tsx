import { useEffect, useRef, useState } from "react";
import { call, Failed, of, type Session } from "../api.ts";
import { Corrections, Once } from "../fields.tsx";
import { Dialog, Loading, Trouble, useLoad } from "../parts.tsx";
import { ClientForm } from "./ClientForm.tsx";
import { Paste } from "./Paste.tsx";
import { Secrets } from "./Secrets.tsx";
import { documentOf, fieldLabel, type Client, type ClientDocument, type ClientList, type ClientOptions } from "./types.ts";

interface Props { session: Session; tenant: string; say: (text: string) => void }

// NewClient begins with a preset.
export function NewClient({ session, tenant, say, preset }: Props & { preset: string }) {
  const { data, error } = useLoad(`clients ${tenant}`, () => call<ClientList>("GET", of(tenant, "clients")));
  const begin = data?.options.presets.find((p) => p.name === preset);
  if (error || (data && !begin)) return <><h1>New client</h1><Trouble>{error || "There is no such preset. Go back to the list of clients and choose one."}</Trouble></>;
  if (!data || !begin) return <><h1>New client</h1><Loading what="the presets" /></>;
  return <Editor {...{ session, tenant, say }} options={data.options} title={begin.title} begin={begin.client} client={null} />;
}

export function ClientPage({ session, tenant, say, id }: Props & { id: string }) {
  const { data, error } = useLoad(`clients ${tenant}`, () => call<ClientList>("GET", of(tenant, "clients")));
  const client = data?.clients.find((c) => c.client_id === id);
  if (error || (data && !client)) return <><h1>Client</h1><Trouble>{error || "There is no such client (any more)."}</Trouble></>;
  if (!data || !client) return <><h1>Client</h1><Loading what="the client" /></>;
  return <Editor {...{ session, tenant, say }} options={data.options} title="" begin={documentOf(client)} client={client} />;
}

// useWrong has the server check a document, a moment after its last change.
function useWrong(tenant: string, document: ClientDocument, self: string, off: boolean): Record<string, string> {
  const [wrong, setWrong] = useState<Record<string, string>>({});
  useEffect(() => {
    if (off) return;
    let wanted = true;
    const wait = setTimeout(() => {
      call<{ fields: Record<string, string> }>("POST", of(tenant, "clients/check"), { client: document, self }).then(
        (a) => wanted && setWrong(a.fields),
        () => {}, // saving says it again
      );
    }, 250);
    return () => {
      wanted = false;
      clearTimeout(wait);
    };
  }, [tenant, document, self, off]);
  return wrong;
}

interface EditorProps extends Props { options: ClientOptions; title: string; begin: ClientDocument; client: Client | null }

function Editor({ session, tenant, say, options, title, begin, client: first }: EditorProps) {
  const [client, setClient] = useState(first);
  const [kept, setKept] = useState(begin); // what the server has, or the preset
  const [document, setDocument] = useState(begin);
  const [left, setLeft] = useState<Set<string>>(new Set()); // fields that somebody was in
  const [refused, setRefused] = useState<Record<string, string>>({}); // of the last try to save
  const [secret, setSecret] = useState("");
  const [error, setError] = useState("");
  const [stale, setStale] = useState(false);
  const [busy, setBusy] = useState(false);
  const [deleting, setDeleting] = useState(false);
  const top = useRef<HTMLHeadingElement>(null);
  const readOnly = session.role !== "operator" || !!client?.fixed;
  const checked = useWrong(tenant, document, client?.client_id ?? "", readOnly);
  const empty = emptyChoices(document);
  const tried = Object.keys(refused).length > 0;
  const now = { ...checked, ...empty };
  const wrong = Object.fromEntries(Object.entries(now).filter(([f]) => tried || left.has(f)));
  const changed = JSON.stringify(document) !== JSON.stringify(kept);

  const take = (c: Client, said: string) => {
    setClient(c);
    setKept(documentOf(c));
    setDocument(documentOf(c));
    setRefused({});
    setLeft(new Set());
    setStale(false);
    say(said);
  };
  const guard = async (work: () => Promise<void>) => {
    setBusy(true);
    setError("");
    try {
      await work();
    } catch (e) {
      if (e instanceof Failed && e.trouble.fields) setRefused(e.trouble.fields);
      else if (e instanceof Failed && e.status === 409 && e.trouble.reason === "stale") setStale(true);
      else setError((e as Error).message);
    } finally {
      setBusy(false);
    }
  };
  const save = (d: ClientDocument, said: string) => {
    if (Object.keys(empty).length) return setRefused(empty);
    void guard(async () => {
      if (client) {
        const a = await call<{ client: Client }>("PUT", of(tenant, `clients/${encodeURIComponent(client.client_id)}`), { client: d, version: client.version });
        return take(a.client, said);
      }
      const a = await call<{ client: Client; secret?: string }>("POST", of(tenant, "clients"), { client: d });
      history.replaceState(null, "", `#/clients/${encodeURIComponent(a.client.client_id)}`);
      take(a.client, `The client is made. What its side needs is below.`);
      if (a.secret) setSecret(a.secret);
      else top.current?.focus();
      scrollTo(0, 0);
    });
  };
  const reload = () => guard(async () => {
    const a = await call<ClientList>("GET", of(tenant, "clients"));
    const mine = a.clients.find((c) => c.client_id === client?.client_id && !c.fixed);
    if (!mine) throw new Error("The client was deleted meanwhile.");
    take(mine, "This is the client as it is now.");
  });
  const remove = () => guard(async () => {
    setDeleting(false);
    await call("DELETE", of(tenant, `clients/${encodeURIComponent(client!.client_id)}?version=${client!.version}`));
    location.hash = "#/clients";
  });
  const heading = client ? client.name || client.client_id : `New client: ${title}`;
  useEffect(() => {
    globalThis.document.title = `${heading} – Kosmoscope`;
  }, [heading]);

  return (
    <>
      <p className="back"><a href="#/clients">All clients</a></p>
      <div className="head">
        <div>
          <h1 tabIndex={-1} ref={top}>{heading}</h1>
          {client && <p className="soft">{client.protocol === "oidc" ? "OpenID Connect" : "SAML"} · {client.client_id}{client.disabled && <> · <span className="chip deny">disabled</span></>}{client.fixed && " · in the configuration file"}</p>}
        </div>
        {client && !readOnly && (
          <div className="row">
            <button type="button" className="quiet" disabled={busy || changed} aria-describedby="disable-why" onClick={() => save({ ...kept, disabled: !kept.disabled }, kept.disabled ? "The client is enabled." : "The client is disabled: nobody is signed in for it.")}>{kept.disabled ? "Enable" : "Disable"}</button>
            <button type="button" className="quiet" disabled={busy} onClick={() => setDeleting(true)}>Delete…</button>
            <span id="disable-why" className="hidden">{changed && "Save or drop your changes first."}</span>
          </div>
        )}
      </div>
      {client?.fixed && <p className="note">This client is in the configuration file, which alone changes it.</p>}
      {client?.hidden && <p className="note">The configuration file has a client of the same ID, which is the one that holds. This one does nothing.</p>}
      {session.role !== "operator" && !client?.fixed && <p className="note">You are signed in as a viewer. Changing a client needs the role operator.</p>}
      {secret && <Once what={`The secret of ${client?.name}`} secret={secret} onClose={() => (setSecret(""), top.current?.focus())} />}
      {client && <Paste client={client} />}
      {client && hasSecret(client) && <Secrets {...{ tenant, client, options, readOnly, busy: busy || changed, guard }} onChange={take} onSecret={setSecret} />}
      <form noValidate onSubmit={(e) => (e.preventDefault(), save(document, "The client is saved."))}>
        <ClientForm key={client?.version ?? 0} {...{ document, options, wrong, readOnly }} fresh={!client} onChange={setDocument} onLeave={(f) => setLeft((s) => (s.has(f) ? s : new Set(s).add(f)))} />
        {tried && <Corrections fields={now} labels={fieldLabel} />}
        <Trouble>{error}</Trouble>
        <div role="alert" className={stale ? "trouble" : undefined}>
          {stale && (
            <>
              <p>Somebody else changed this client meanwhile. Nothing was saved.</p>
              <div className="row"><button type="button" className="quiet" onClick={() => void reload()}>Drop my changes and load theirs</button></div>
            </>
          )}
        </div>
        {!readOnly && (
          <div className="row end">
            {changed && client && <button type="button" className="quiet" onClick={() => (setDocument(kept), setRefused({}), setLeft(new Set()))}>Drop the changes</button>}
            <button type="submit" disabled={busy || (!!client && !changed)}>{client ? "Save" : "Make the client"}</button>
          </div>
        )}
      </form>
      <Dialog title={`Delete ${heading}?`} open={deleting} onClose={() => setDeleting(false)}>
        <p>Nobody can be signed in for it any more, its secrets are gone, and it cannot be taken back. To stop it for a while, disable it.</p>
        <div className="row end">
          <button type="button" className="quiet" onClick={() => setDeleting(false)}>Cancel</button>
          <button type="button" disabled={busy} onClick={() => void remove()}>Delete the client</button>
        </div>
      </Dialog>
    </>
  );
}

const hasSecret = (c: Client) => c.oidc?.token_endpoint_auth_method.startsWith("client_secret_") === true;

// emptyChoices are choices of several of which none is made: the server would take them
// for "all".
function emptyChoices(d: ClientDocument): Record<string, string> {
  const out: Record<string, string> = {};
  for (const field of ["allowed_acr", "document_types", "claims"] as const) if (d[field]?.length === 0) out[field] = "choose at least one";
  return out;
}
