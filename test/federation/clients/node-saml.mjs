// npm @node-saml/node-saml as a service provider. It takes the certificate and the
// address from the identity provider's metadata.
import { SAML, ValidateInResponseTo } from "@node-saml/node-saml";
import { callback, refused, task } from "./client.mjs";

// of finds the content of an element or attribute: the metadata is signed XML of the
// program under test, and reading it is not what is tested here.
function of(xml, pattern, what) {
  const found = xml.match(pattern);
  if (!found) throw new Error(`the metadata has no ${what}`);
  return found[1];
}

// changes are made to the response between browser and service provider.
const changes = {
  subject: (xml) => xml.replace(/(<(?:\w+:)?NameID[^>]*>)[^<]+/, "$1somebody-else"),
  comment: (xml) => xml.replace(/(<(?:\w+:)?NameID[^>]*>)([^<]{3})/, "$1$2<!-- -->"),
  audience: (xml) => xml.replace(/(<(?:\w+:)?Audience>)[^<]+/, "$1https://other.example"),
  level: (xml) => xml.replace(/(<(?:\w+:)?AuthnContextClassRef>)[^<]+/, "$1/assurance/ial/3"),
  unsigned: (xml) => xml.replace(/<((?:\w+:)?)Signature[\s>][\s\S]*?<\/\1Signature>/g, ""),
  digest: (xml) => xml.replace(/(<(?:\w+:)?DigestValue>)(.)/, (_, tag, c) => tag + (c === "A" ? "B" : "A")),
  // The signed assertion is moved aside, and one with another name put in its place.
  wrapped(xml) {
    const [assertion] = xml.match(/<((?:\w+:)?)Assertion[\s>][\s\S]*<\/\1Assertion>/);
    const evil = assertion
      .replace(/ID="[^"]+"/, 'ID="_evil"')
      .replace(/<((?:\w+:)?)Signature[\s>][\s\S]*?<\/\1Signature>/, "")
      .replace(/(<(?:\w+:)?NameID[^>]*>)[^<]+/, "$1somebody-else");
    return xml.replace(assertion, () => evil + assertion);
  },
};

async function main() {
  const metadata = await (await fetch(task.metadata)).text();
  const cert = of(metadata, /X509Certificate[^>]*>([^<]+)</, "certificate").replace(/\s/g, "");
  const entryPoint = of(
    metadata,
    /SingleSignOnService(?=[^>]*HTTP-Redirect)[^>]*Location="([^"]+)"/,
    "address for the redirect binding",
  ).replaceAll("&amp;", "&");
  const saml = new SAML({
    callbackUrl: task.acs,
    entryPoint,
    issuer: task.entity_id,
    audience: task.entity_id,
    idpCert: cert,
    idpIssuer: of(metadata, /entityID="([^"]+)"/, "entity id"),
    wantAssertionsSigned: true,
    wantAuthnResponseSigned: true,
    validateInResponseTo: ValidateInResponseTo.always,
    acceptedClockSkewMs: 0,
    maxAssertionAgeMs: 300_000,
    signatureAlgorithm: "sha256",
    digestAlgorithm: "sha256",
    identifierFormat: task.name_id_format ?? null,
    forceAuthn: task.force ?? false,
    passive: task.passive ?? false,
    ...(task.authn_context ? { authnContext: task.authn_context } : { disableRequestedAuthnContext: true }),
    racComparison: task.comparison ?? "exact",
    ...(task.key ? { privateKey: task.key } : {}),
    ...(task.post ? { authnRequestBinding: "HTTP-POST" } : {}),
  });
  const relay = "relay-" + Math.random().toString(36).slice(2);
  const go = await saml.getAuthorizeUrlAsync(relay, undefined, {});

  callback(task.acs, go, async (_, form) => {
    if (form.get("RelayState") !== relay) throw new Error("another RelayState came back");
    let xml = Buffer.from(form.get("SAMLResponse"), "base64").toString("utf8");
    if (task.change) {
      const changed = changes[task.change](xml);
      if (changed === xml) throw new Error(`NOTHING CHANGED: ${task.change}`);
      xml = changed;
    }
    const SAMLResponse = Buffer.from(xml).toString("base64");
    const { profile } = await saml.validatePostResponseAsync({ SAMLResponse });
    const { getAssertionXml, getAssertion, getSamlResponseXml, ...rest } = profile;
    const out = { profile: rest, response: xml, assertion: getAssertionXml() };
    try {
      await saml.validatePostResponseAsync({ SAMLResponse });
      out.replay = "accepted";
    } catch (error) {
      out.replay = error.message;
    }
    return out;
  });
}

main().catch(refused);
