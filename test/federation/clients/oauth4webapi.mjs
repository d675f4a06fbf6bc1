// npm oauth4webapi as a relying party.
import * as oauth from "oauth4webapi";
import { callback, forging, refused, task } from "./client.mjs";

async function main() {
  const insecure = { [oauth.allowInsecureRequests]: true };
  const issuer = new URL(task.issuer);
  const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure));
  const client = { client_id: task.client_id, id_token_signed_response_alg: task.alg ?? "ES256" };
  const auth = task.auth === "client_secret_post" ? oauth.ClientSecretPost(task.client_secret) : oauth.ClientSecretBasic(task.client_secret);

  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const nonce = oauth.generateRandomNonce();
  const params = new URLSearchParams({
    client_id: task.client_id,
    redirect_uri: task.redirect_uri,
    response_type: "code",
    scope: task.scope,
    state,
    nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    ...task.params,
  });
  if (task.claims) params.set("claims", JSON.stringify(task.claims));
  const go = new URL(as.authorization_endpoint);
  if (task.par) {
    const pushed = await oauth.processPushedAuthorizationResponse(
      as,
      client,
      await oauth.pushedAuthorizationRequest(as, client, auth, params, insecure),
    );
    go.search = new URLSearchParams({ client_id: task.client_id, request_uri: pushed.request_uri });
  } else {
    go.search = params;
  }

  callback(task.redirect_uri, go, async (url) => {
    if (task.wrong_iss) url.searchParams.set("iss", "https://evil.example");
    const got = oauth.validateAuthResponse(as, client, url, task.wrong_state ? oauth.generateRandomState() : state);
    const response = await oauth.authorizationCodeGrantRequest(as, client, auth, got, task.redirect_uri, verifier, {
      ...insecure,
      [oauth.customFetch]: forging(task.forge),
    });
    const tokens = await oauth.processAuthorizationCodeResponse(as, client, response, {
      expectedNonce: task.wrong_nonce ? oauth.generateRandomNonce() : nonce,
      maxAge: task.max_age,
      requireIdToken: true,
    });
    await oauth.validateApplicationLevelSignature(as, response, insecure);
    const claims = oauth.getValidatedIdTokenClaims(tokens);
    const userinfo = await oauth.processUserInfoResponse(
      as,
      client,
      claims.sub,
      await oauth.userInfoRequest(as, client, tokens.access_token, insecure),
    );
    return { claims, userinfo, id_token: tokens.id_token, nonce, scope: tokens.scope };
  });
}

main().catch(refused);
