// A peer that bench/federation measures: oidc-provider with its defaults, which keep
// state in memory, its own development pages for login and consent, and one client.
//   node peer.mjs PORT REDIRECT_URI ES256|RS256
import { generateKeyPairSync } from "node:crypto";
import Provider from "oidc-provider";

const [port, redirectURI, alg] = process.argv.slice(2);
const { privateKey } =
  alg === "ES256" ? generateKeyPairSync("ec", { namedCurve: "P-256" }) : generateKeyPairSync("rsa", { modulusLength: 2048 });

// The development pages and the shortened secrets each warn once.
console.warn = () => {};
const provider = new Provider(`http://localhost:${port}`, {
  clients: [
    {
      client_id: "bench",
      client_secret: "bench-secret",
      redirect_uris: [redirectURI],
      id_token_signed_response_alg: alg,
      application_type: "native", // http on loopback
    },
  ],
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), alg, use: "sig", kid: "bench" }] },
  cookies: { keys: ["bench-cookie-key"] },
});
provider.on("server_error", (_, err) => console.error(err));
provider.listen(Number(port), "127.0.0.1", () => console.log("listening"));
