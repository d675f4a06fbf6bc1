// Clients of door B, as the console's API speaks of them (internal/console/clients.go).

export interface Entra { issuer: string; jwks_uri: string; app_id: string; user_claim?: string }
export interface OIDCPart {
  redirect_uris: string[]; post_logout_redirect_uris?: string[]; token_endpoint_auth_method: string; jwks?: unknown; jwks_uri?: string;
  without_pkce?: boolean; require_par?: boolean; id_token_signed_response_alg?: string; grants?: string[]; entra?: Entra;
}
export interface SAMLPart { entity_id: string; acs: string[]; certificates?: string[]; signed_requests?: boolean; name_id?: string; attributes?: Record<string, string> }
export interface ClientDocument {
  client_id: string; protocol: "oidc" | "saml"; profile?: string; name: string; disabled?: boolean;
  default_acr?: string[]; allowed_acr?: string[]; essential?: boolean; claims?: string[]; consent_text?: string;
  document_types?: string[]; liveness_mode?: string; session?: string; upstream?: boolean; sector?: string;
  oidc?: OIDCPart; saml?: SAMLPart;
}
export interface Secret { id: string; created_at: string; expires_at?: string; holds: boolean }
export interface PasteLine { name: string; value: string; help?: string }
export interface Client extends ClientDocument {
  fixed: boolean; hidden: boolean; secrets: Secret[]; created_at?: string; updated_at?: string; version: number; paste: PasteLine[];
}
export interface ClientPreset { name: string; title: string; help: string; client: ClientDocument }
export interface ClientOptions {
  presets: ClientPreset[]; acr: string[]; claims: string[]; default_claims: string[]; flat: string[]; document_types: string[]; liveness_modes: string[];
  auth_methods: string[]; algs: string[]; grants: string[]; name_ids: string[]; default_session: string; secrets: number;
}
export interface ClientList { clients: Client[]; options: ClientOptions }
export interface SigningKey { kid: string; use: "oidc" | "saml"; alg: string; state: "next" | "active" | "retiring" | "retired"; created_at: string; changed_at: string; next_at?: string; expires_at?: string; certificate?: string }

// documentOf is the part of a client that is sent back.
export function documentOf(c: Client): ClientDocument {
  const { fixed: _f, hidden: _h, secrets: _s, created_at: _c, updated_at: _u, version: _v, paste: _p, ...document } = c;
  return document;
}

const acrs: Record<string, string> = { "urn:kosmoscope:acr:liveid": "Face check (LiveID)", "urn:kosmoscope:acr:proofing": "Proofing: document and face" };
export const acrName = (acr: string) => acrs[acr] ?? acr.replace(/^\/assurance\/ial\/(\d)$/, "Assurance IAL$1");
export const profiles: Record<string, string> = { "": "none: as the specifications say", descope: "Descope", okta_idv: "Okta, bring your own IDV", entra_eam: "Microsoft Entra, external MFA" };
export const authMethods: Record<string, string> = {
  client_secret_basic: "A secret, in the header", client_secret_post: "A secret, in the form", private_key_jwt: "A signature with its own key", none: "It does not: a public client, with PKCE",
};
export const nameIDs: Record<string, string> = {
  persistent: "persistent: the same each time, for this service provider alone", transient: "transient: another each time",
  emailAddress: "emailAddress: the user identifier, after a face check", unspecified: "unspecified: the user identifier, after a face check",
};
export const documents: Record<string, string> = { passport: "passport", id_card: "identity card", drivers_license: "driver's license" };
export const livenesses: Record<string, string> = { none: "none: a still photo is accepted", passive: "passive: judged from ordinary frames", active: "active: the person follows instructions" };
export const words = (name: string) => name.replaceAll("_", " ");

// labels of fields, for what is said about them.
const fieldLabels: Record<string, string> = {
  client_id: "Client ID", name: "Name", consent_text: "Consent text", default_acr: "Asked for by itself", allowed_acr: "May ask for", essential: "Essential", claims: "Claims",
  document_types: "Documents", liveness_mode: "Liveness", session: "Not asked again for", protocol: "Protocol", profile: "Contract", oidc: "OpenID Connect", saml: "SAML",
  "oidc.redirect_uris": "Redirect addresses", "oidc.post_logout_redirect_uris": "Addresses after sign-out", "oidc.token_endpoint_auth_method": "How it authenticates",
  "oidc.jwks": "Its public keys", "oidc.jwks_uri": "Address of its keys", "oidc.without_pkce": "PKCE", "oidc.id_token_signed_response_alg": "Signature", "oidc.grants": "Besides codes",
  "oidc.require_par": "Pushed requests", "oidc.entra": "Entra", "saml.entity_id": "Entity ID", "saml.acs": "Assertion consumer services", "saml.certificates": "Certificates",
  "saml.signed_requests": "Signed requests", "saml.name_id": "NameID", "saml.attributes": "Attributes",
};
export const fieldLabel = (field: string) => `${fieldLabels[field] ?? field}:`;
