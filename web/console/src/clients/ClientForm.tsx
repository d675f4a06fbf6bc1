import { useState } from "react";
import { Field, left, LinesField, Preferred, SomeOf, Tick, Wrong } from "../fields.tsx";
import { acrName, authMethods, documents, livenesses, nameIDs, profiles, words, type ClientDocument, type ClientOptions, type Entra, type OIDCPart, type SAMLPart } from "./types.ts";

interface Props { document: ClientDocument; options: ClientOptions; wrong: Record<string, string>; fresh: boolean; readOnly: boolean; onChange: (d: ClientDocument) => void; onLeave: (field: string) => void }

// named makes the entries of a choice.
const named = (values: string[], names: Record<string, string>): [string, string][] => values.map((v) => [v, names[v] ?? v]);

// ClientForm edits the document of a client.
export function ClientForm({ document: d, options, wrong, fresh, readOnly, onChange, onLeave }: Props) {
  const set = (part: Partial<ClientDocument>) => onChange({ ...d, ...part });
  const acrs: [string, string][] = options.acr.map((a) => [a, acrName(a)]);
  const text = (e: { target: { value: string } }) => e.target.value;
  return (
    <fieldset className="plain columns" disabled={readOnly} onBlur={(e) => left(e) && onLeave(left(e))}>
      <legend className="hidden">The client</legend>
      <fieldset>
        <legend>Who asks</legend>
        <Field label="Name" name="name" wrong={wrong.name} help="People read it: it says who asks them.">{(n) => <input {...n} type="text" maxLength={100} value={d.name} onChange={(e) => set({ name: text(e) })} />}</Field>
        <Field label="Client ID" name="client_id" wrong={wrong.client_id} help={fresh ? "Our name of it. Left empty, one is made." : "Stays as it is."}>
          {(n) => <input {...n} type="text" maxLength={128} spellCheck={false} readOnly={!fresh} value={d.client_id} onChange={(e) => set({ client_id: text(e) })} />}
        </Field>
        <Field label="Contract" name="profile" wrong={wrong.profile} help="What its side does beside the specifications, or otherwise.">
          {(n) => (
            <select {...n} value={d.profile ?? ""} onChange={(e) => onChange(withProfile(d, text(e)))}>
              {Object.entries(profiles).filter(([p]) => d.protocol === "oidc" || p === "" || p === "descope").map(([p, t]) => <option key={p} value={p}>{t}</option>)}
            </select>
          )}
        </Field>
        <Field label="Consent text" name="consent_text" wrong={wrong.consent_text} help="A sentence of your own, shown where people are asked.">{(n) => <textarea {...n} rows={2} maxLength={500} value={d.consent_text ?? ""} onChange={(e) => set({ consent_text: text(e) })} />}</Field>
      </fieldset>
      {d.oidc && <OIDCFields part={d.oidc} options={options} wrong={wrong} onChange={(oidc) => set({ oidc })} />}
      {d.saml && <SAMLFields part={d.saml} options={options} wrong={wrong} onChange={(saml) => set({ saml })} />}
      <fieldset>
        <legend>What people are asked for</legend>
        <Preferred legend="Asked for by itself, where the request asks for nothing" name="default_acr" options={acrs} value={d.default_acr ?? []} wrong={wrong.default_acr}
          help="In order of preference. Nothing: a document is examined." onChange={(default_acr) => set({ default_acr })} />
        <Tick label="It is essential: what cannot be met is a failure" name="essential" checked={!!d.essential} wrong={wrong.essential} onChange={(essential) => set({ essential })} />
        <SomeOf legend="What its requests may ask for" name="allowed_acr" all="Everything" options={acrs} value={d.allowed_acr} wrong={wrong.allowed_acr} onChange={(allowed_acr) => set({ allowed_acr })} />
        <SomeOf legend="Documents" name="document_types" all="All" options={named(options.document_types, documents)} value={d.document_types} wrong={wrong.document_types} onChange={(document_types) => set({ document_types })} />
        <Field label="Liveness" name="liveness_mode" wrong={wrong.liveness_mode}>
          {(n) => (
            <select {...n} value={d.liveness_mode ?? ""} onChange={(e) => set({ liveness_mode: text(e) || undefined })}>
              <option value="">as the tenant's</option>
              {named(options.liveness_modes, livenesses).map(([v, t]) => <option key={v} value={v}>{t}</option>)}
            </select>
          )}
        </Field>
        <Tick label="1Kosmos' own OpenID provider signs people in" checked={!!d.upstream} help="Needs federation.upstream in the configuration." onChange={(upstream) => set({ upstream })} />
      </fieldset>
      <fieldset>
        <legend>What it is told</legend>
        <SomeOf legend="Claims of the document" name="claims" all="The usual ones" options={options.claims.map((c) => [c, words(c)])} value={d.claims} wrong={wrong.claims}
          help={`The usual ones: ${options.default_claims.map(words).join(", ")}.`} onChange={(claims) => set({ claims })} />
        <Field label="Not asked again for" name="session" wrong={wrong.session} help={`How long a browser that was recognised is not asked again by this client, such as 90s, 5m or 1h. Empty: ${options.default_session}.`}>
          {(n) => <input {...n} type="text" className="short" spellCheck={false} value={d.session ?? ""} onChange={(e) => set({ session: text(e).trim() || undefined })} />}
        </Field>
        <Field label="Sector" name="sector" help="Clients of one sector see the same person under the same name. Changed later, everybody gets another name. Empty: this client alone.">
          {(n) => <input {...n} type="text" spellCheck={false} value={d.sector ?? ""} onChange={(e) => set({ sector: text(e) || undefined })} />}
        </Field>
      </fieldset>
    </fieldset>
  );
}

// withProfile changes the contract, and what belongs to one alone.
export function withProfile(d: ClientDocument, profile: string): ClientDocument {
  if (!d.oidc) return { ...d, profile: profile || undefined };
  const { entra, ...rest } = d.oidc;
  const oidc: OIDCPart = profile === "entra_eam" ? { ...rest, entra: entra ?? { issuer: "", jwks_uri: "", app_id: "" } } : rest;
  if (profile === "okta_idv") oidc.require_par = true;
  if (profile === "descope") oidc.without_pkce = true;
  if (profile === "okta_idv" || profile === "entra_eam") oidc.id_token_signed_response_alg = "RS256";
  return { ...d, profile: profile || undefined, oidc };
}

interface PartProps<T> { part: T; options: ClientOptions; wrong: Record<string, string>; onChange: (part: T) => void }

function OIDCFields({ part: o, options, wrong, onChange }: PartProps<OIDCPart>) {
  const set = (more: Partial<OIDCPart>) => onChange({ ...o, ...more });
  const confidential = o.token_endpoint_auth_method !== "none";
  const grant = (g: string, on: boolean) => set({ grants: [...(o.grants ?? []).filter((x) => x !== g), ...(on ? [g] : [])] });
  return (
    <fieldset>
      <legend>OpenID Connect</legend>
      <LinesField label="Redirect addresses (one a line)" name="oidc.redirect_uris" wrong={wrong["oidc.redirect_uris"]} value={o.redirect_uris} help="Compared exactly, to the last slash." onChange={(redirect_uris) => set({ redirect_uris })} />
      <LinesField label="Addresses after sign-out (one a line)" name="oidc.post_logout_redirect_uris" rows={2} wrong={wrong["oidc.post_logout_redirect_uris"]} value={o.post_logout_redirect_uris ?? []} onChange={(l) => set({ post_logout_redirect_uris: l })} />
      <Field label="How it authenticates" name="oidc.token_endpoint_auth_method" wrong={wrong["oidc.token_endpoint_auth_method"]}>
        {(n) => (
          <select {...n} value={o.token_endpoint_auth_method} onChange={(e) => onChange(withMethod(o, e.target.value))}>
            {named(options.auth_methods, authMethods).map(([v, t]) => <option key={v} value={v}>{t}</option>)}
          </select>
        )}
      </Field>
      {o.token_endpoint_auth_method === "private_key_jwt" && (
        <>
          <KeySet value={o.jwks} wrong={wrong["oidc.jwks"]} onChange={(jwks) => set({ jwks })} />
          <Field label="Or the address of its keys" name="oidc.jwks_uri" wrong={wrong["oidc.jwks_uri"]}>{(n) => <input {...n} type="url" spellCheck={false} value={o.jwks_uri ?? ""} onChange={(e) => set({ jwks_uri: e.target.value || undefined })} />}</Field>
        </>
      )}
      <Tick label="It may go without PKCE" name="oidc.without_pkce" checked={!!o.without_pkce} disabled={!confidential} wrong={wrong["oidc.without_pkce"]} help="Only for clients that authenticate. Descope sends none." onChange={(without_pkce) => set({ without_pkce })} />
      <Tick label="It must push its requests (PAR)" name="oidc.require_par" checked={!!o.require_par} wrong={wrong["oidc.require_par"]} help="Recommended where it can: what a browser carries, a browser can change." onChange={(require_par) => set({ require_par })} />
      <Field label="Signature of ID tokens" name="oidc.id_token_signed_response_alg" wrong={wrong["oidc.id_token_signed_response_alg"]}>
        {(n) => <select {...n} value={o.id_token_signed_response_alg ?? ""} onChange={(e) => set({ id_token_signed_response_alg: e.target.value })}>{options.algs.map((a) => <option key={a}>{a}</option>)}</select>}
      </Field>
      <fieldset className="inner">
        <legend>Besides codes</legend>
        <div className="row">
          {options.grants.map((g, i) => (
            <label key={g} className="inline">
              <input type="checkbox" data-field={i === 0 ? "oidc.grants" : undefined} checked={!!o.grants?.includes(g)} onChange={(e) => grant(g, e.target.checked)} />
              {g === "refresh_token" ? " refresh tokens" : g.endsWith(":ciba") ? " face checks without a browser (CIBA)" : ` ${g}`}
            </label>
          ))}
        </div>
        <Wrong>{wrong["oidc.grants"]}</Wrong>
      </fieldset>
      {o.entra && <EntraFields entra={o.entra} wrong={wrong["oidc.entra"]} onChange={(entra) => set({ entra })} />}
    </fieldset>
  );
}

function withMethod(o: OIDCPart, method: string): OIDCPart {
  const { jwks, jwks_uri, ...rest } = o;
  const keys = method === "private_key_jwt" ? { jwks, jwks_uri } : {};
  return { ...rest, ...keys, token_endpoint_auth_method: method, without_pkce: method !== "none" && rest.without_pkce };
}

// KeySet keeps a text that is not JSON yet, and gives out what it is, or the text itself
// for the server to say what is wrong with it.
function KeySet({ value, wrong, onChange }: { value: unknown; wrong?: string; onChange: (v: unknown) => void }) {
  const [text, setText] = useState(value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value, null, 2));
  const change = (t: string) => {
    setText(t);
    try {
      onChange(t.trim() ? JSON.parse(t) : undefined);
    } catch {
      onChange(t);
    }
  };
  return (
    <Field label="Its public keys" name="oidc.jwks" wrong={wrong} help="A JSON Web Key Set (RFC 7517), public keys only.">
      {(n) => <textarea {...n} rows={4} spellCheck={false} value={text} onChange={(e) => change(e.target.value)} />}
    </Field>
  );
}

function EntraFields({ entra, wrong, onChange }: { entra: Entra; wrong?: string; onChange: (e: Entra) => void }) {
  const field = (key: keyof Entra, label: string, help: string) => (
    <Field label={label} name={key === "issuer" ? "oidc.entra" : undefined} wrong={key === "issuer" ? wrong : undefined} help={help}>
      {(n) => <input {...n} type="text" spellCheck={false} value={entra[key] ?? ""} onChange={(e) => onChange({ ...entra, [key]: e.target.value.trim() })} />}
    </Field>
  );
  return (
    <fieldset className="inner">
      <legend>The Entra tenant that asks</legend>
      {field("issuer", "Issuer of its hints", "https://login.microsoftonline.com/TENANT/v2.0")}
      {field("jwks_uri", "Address of its keys", "https://login.microsoftonline.com/TENANT/discovery/v2.0/keys")}
      {field("app_id", "Application ID", "That of your application there: the audience of the hint.")}
      {field("user_claim", "Claim that names the user", "preferred_username by default; oid is safer if your users are enrolled under it.")}
    </fieldset>
  );
}

function SAMLFields({ part: m, options, wrong, onChange }: PartProps<SAMLPart>) {
  const set = (more: Partial<SAMLPart>) => onChange({ ...m, ...more });
  const [pem, setPem] = useState((m.certificates ?? []).join("\n"));
  const certificates = (text: string) => {
    setPem(text);
    const found = text.match(/-----BEGIN[^]*?-----END [A-Z ]+-----/g) ?? [];
    const rest = text.replace(/-----BEGIN[^]*?-----END [A-Z ]+-----/g, "").trim();
    set({ certificates: rest ? [...found, rest] : found.length ? found : undefined });
  };
  return (
    <fieldset>
      <legend>SAML</legend>
      <Field label="Entity ID" name="saml.entity_id" wrong={wrong["saml.entity_id"]} help="What the service provider calls itself.">{(n) => <input {...n} type="text" spellCheck={false} value={m.entity_id} onChange={(e) => set({ entity_id: e.target.value.trim() })} />}</Field>
      <LinesField label="Assertion consumer services (one a line)" name="saml.acs" wrong={wrong["saml.acs"]} value={m.acs} help="Where the answer goes, by HTTP-POST. The first is the default." onChange={(acs) => set({ acs })} />
      <Field label="NameID" name="saml.name_id" wrong={wrong["saml.name_id"]}>
        {(n) => <select {...n} value={m.name_id ?? "persistent"} onChange={(e) => set({ name_id: e.target.value })}>{named(options.name_ids, nameIDs).map(([v, t]) => <option key={v} value={v}>{t}</option>)}</select>}
      </Field>
      <Field label="Certificates of its requests" name="saml.certificates" wrong={wrong["saml.certificates"]} help="In PEM, one after the other.">{(n) => <textarea {...n} rows={3} spellCheck={false} value={pem} onChange={(e) => certificates(e.target.value)} />}</Field>
      <Tick label="Its requests must be signed" name="saml.signed_requests" checked={!!m.signed_requests} wrong={wrong["saml.signed_requests"]} onChange={(signed_requests) => set({ signed_requests })} />
      <Mapping value={m.attributes} flat={options.flat} wrong={wrong["saml.attributes"]} onChange={(attributes) => set({ attributes })} />
    </fieldset>
  );
}

// Mapping names attributes. Rows have an order of their own while they are edited: an
// attribute that has no name yet is none.
function Mapping({ value, flat, wrong, onChange }: { value: Record<string, string> | undefined; flat: string[]; wrong?: string; onChange: (v: Record<string, string> | undefined) => void }) {
  const [rows, setRows] = useState<[string, string][]>(() => Object.entries(value ?? {}));
  const change = (next: [string, string][]) => {
    setRows(next);
    const given = next.filter(([name]) => name);
    onChange(given.length ? Object.fromEntries(given) : undefined);
  };
  const twice = rows.map(([n]) => n).find((n, i, all) => n && all.indexOf(n) !== i);
  return (
    <fieldset className="inner">
      <legend>Attributes</legend>
      {rows.length === 0 && <p className="soft">All that we tell, under our own names.</p>}
      {rows.map(([name, claim], i) => (
        <div key={i} className="row pair">
          <input type="text" data-field={i === 0 ? "saml.attributes" : undefined} aria-label={`Attribute ${i + 1}`} placeholder="kosmosIal" spellCheck={false} value={name} onChange={(e) => change(rows.map((r, j) => (j === i ? [e.target.value.trim(), r[1]] : r)))} />
          <span>is</span>
          <select aria-label={`Value of attribute ${i + 1}`} value={claim} onChange={(e) => change(rows.map((r, j) => (j === i ? [r[0], e.target.value] : r)))}>{flat.map((f) => <option key={f}>{f}</option>)}</select>
          <button type="button" className="quiet" aria-label={`Remove attribute ${name || i + 1}`} onClick={() => change(rows.filter((_, j) => j !== i))}>Remove</button>
        </div>
      ))}
      <button type="button" className="quiet" data-field={rows.length ? undefined : "saml.attributes"} onClick={() => change([...rows, ["", flat[0] ?? ""]])}>Add an attribute</button>
      <Wrong>{wrong ?? (twice && `${twice} is named twice: the last one counts.`)}</Wrong>
    </fieldset>
  );
}
