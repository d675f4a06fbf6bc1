// What the clients in this folder share. Each is a program of its own: it takes what
// to do as JSON in its only argument, prints {"go": URL} with where the browser is to
// go, listens at its redirect URI on loopback, and ends with {"done": {...}} or
// {"refused": {...}} once the browser has come back.
import { createPrivateKey, generateKeyPairSync, sign } from "node:crypto";
import { createServer } from "node:http";

export const task = JSON.parse(process.argv[2]);

export function say(line) {
  process.stdout.write(JSON.stringify(line) + "\n");
}

export function refused(error) {
  say({
    refused: {
      name: error.name,
      code: error.code ?? "",
      error: error.error ?? "",
      message: error.message,
      cause: error.cause?.message ?? "",
    },
  });
}

// callback waits for the browser at the redirect URI, and gives finish what it
// brought: the address, and the form if it posted one.
export function callback(redirectURI, go, finish) {
  const at = new URL(redirectURI);
  const server = createServer(async (req, res) => {
    const url = new URL(req.url, at);
    if (url.pathname !== at.pathname) {
      res.writeHead(404).end();
      return;
    }
    let body = "";
    for await (const part of req) body += part;
    try {
      say({ done: await finish(url, new URLSearchParams(body)) });
    } catch (error) {
      refused(error);
    }
    res.end("Thank you.", () => server.close());
    server.closeAllConnections?.();
  });
  server.listen(Number(at.port), "127.0.0.1", () => say({ go: String(go) }));
}

// privateKey imports a PKCS #8 PEM as WebCrypto has it.
export async function privateKey(pem) {
  const der = createPrivateKey(pem).export({ type: "pkcs8", format: "der" });
  return crypto.subtle.importKey("pkcs8", der, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
}

const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const decode = (part) => JSON.parse(Buffer.from(part, "base64url"));

// forgeries turn a good ID token into one that must be refused.
const forgeries = {
  signature(h, p, s) {
    const bytes = Buffer.from(s, "base64url");
    bytes[10] ^= 1;
    return [h, p, bytes.toString("base64url")];
  },
  subject: (h, p, s) => [h, encode({ ...decode(p), sub: "somebody-else" }), s],
  level: (h, p, s) => [h, encode({ ...decode(p), acr: "/assurance/ial/3" }), s],
  unsigned: (h, p) => [encode({ ...decode(h), alg: "none" }), p, ""],
  key(h, p) {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const s = sign("sha256", Buffer.from(`${h}.${p}`), { key: privateKey, dsaEncoding: "ieee-p1363" });
    return [h, p, s.toString("base64url")];
  },
};

// forging is fetch that changes the ID token on its way.
export function forging(how) {
  if (!how) return fetch;
  const forge = forgeries[how];
  if (!forge) throw new Error(`no forgery ${how}`);
  return async (url, options) => {
    const res = await fetch(url, options);
    if (!/json/.test(res.headers.get("content-type") ?? "") || !res.ok) return res;
    const body = await res.json();
    if (body.id_token) body.id_token = forge(...body.id_token.split(".")).join(".");
    return new Response(JSON.stringify(body), { status: res.status, headers: { "content-type": "application/json" } });
  };
}
