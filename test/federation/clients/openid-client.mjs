// npm openid-client as a relying party.
import * as client from "openid-client";
import { callback, forging, privateKey, refused, say, task } from "./client.mjs";

async function authentication() {
  switch (task.auth) {
    case "private_key_jwt":
      return client.PrivateKeyJwt({ key: await privateKey(task.key), kid: task.kid });
    case "client_secret_post":
      return client.ClientSecretPost(task.client_secret);
    case "none":
      return client.None();
    default:
      return client.ClientSecretBasic(task.client_secret);
  }
}

async function main() {
  const config = await client.discovery(
    new URL(task.issuer),
    task.client_id,
    { id_token_signed_response_alg: task.alg ?? "ES256" },
    await authentication(),
    { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] },
  );
  config[client.customFetch] = forging(task.forge);

  if (task.ciba) {
    const begun = await client.initiateBackchannelAuthentication(config, { scope: task.scope, ...task.params });
    say({ go: begun.auth_req_id });
    const tokens = await client.pollBackchannelAuthenticationGrant(config, begun);
    say({ done: { claims: tokens.claims() } });
    return;
  }

  const nonce = client.randomNonce();
  const state = client.randomState();
  const params = { redirect_uri: task.redirect_uri, scope: task.scope, state, ...task.params };
  if (!task.without_nonce) params.nonce = nonce;
  if (task.claims) params.claims = JSON.stringify(task.claims);
  let verifier;
  if (task.pkce !== false) {
    verifier = client.randomPKCECodeVerifier();
    params.code_challenge = await client.calculatePKCECodeChallenge(verifier);
    params.code_challenge_method = "S256";
  }
  const go = task.par ? await client.buildAuthorizationUrlWithPAR(config, params) : client.buildAuthorizationUrl(config, params);

  callback(task.redirect_uri, go, async (url, form) => {
    if (task.wrong_iss) url.searchParams.set("iss", "https://evil.example");
    const request = task.form_post
      ? new Request(url, { method: "POST", body: form, headers: { "content-type": "application/x-www-form-urlencoded" } })
      : url;
    const tokens = await client.authorizationCodeGrant(config, request, {
      pkceCodeVerifier: verifier,
      expectedState: task.wrong_state ? client.randomState() : state,
      expectedNonce: task.wrong_nonce ? client.randomNonce() : task.without_nonce ? undefined : nonce,
      maxAge: task.max_age,
      idTokenExpected: true,
    });
    const claims = tokens.claims();
    const out = { claims, id_token: tokens.id_token, expires_in: tokens.expires_in, scope: tokens.scope, nonce };
    out.userinfo = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
    if (tokens.refresh_token) {
      const again = await client.refreshTokenGrant(config, tokens.refresh_token);
      out.refreshed = again.claims() ?? {};
      out.refreshed_userinfo = await client.fetchUserInfo(config, again.access_token, claims.sub);
    }
    if (config.serverMetadata().end_session_endpoint) {
      out.logout = String(client.buildEndSessionUrl(config, { id_token_hint: tokens.id_token }));
    }
    return out;
  });
}

main().catch(refused);
