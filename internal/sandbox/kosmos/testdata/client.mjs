// A client of the wire protocol on node:crypto alone: prints what it gets.
import { createCipheriv, createDecipheriv, createECDH, randomBytes, randomUUID } from "node:crypto";

const [base, dns, license] = process.argv.slice(2);
const ecdh = createECDH("secp256k1");
ecdh.generateKeys();

const json = async (response) => ({ status: response.status, body: await response.json() });

function pair(publicKey) {
  const key = ecdh.computeSecret(Buffer.concat([Buffer.from([4]), Buffer.from(publicKey, "base64")]));
  return {
    seal(text) {
      const iv = randomBytes(16);
      const c = createCipheriv("aes-256-gcm", key, iv);
      return Buffer.concat([iv, c.update(text, "utf8"), c.final(), c.getAuthTag()]).toString("base64");
    },
    open(sealed) {
      const raw = Buffer.from(sealed, "base64");
      const d = createDecipheriv("aes-256-gcm", key, raw.subarray(0, 16));
      d.setAuthTag(raw.subarray(-16));
      return Buffer.concat([d.update(raw.subarray(16, -16)), d.final()]).toString("utf8");
    },
  };
}

const post = (url, headers, body) =>
  fetch(url, { method: "POST", headers: { "Content-Type": "application/json", charset: "utf-8", ...headers }, body: JSON.stringify(body) });

const info = await json(await post(`${base}/api/r1/system/community_info/fetch`, {}, { dns, communityName: "default" }));
if (!info.body.tenant || !info.body.community) throw new Error("no tenant");
const sd = (await json(await fetch(`${base}/caas/sd`))).body;
if (!sd.licenses) throw new Error("directory not valid");

const docuverify = pair((await json(await fetch(`${sd.docuverify}/publickeys`))).body.publicKey);
const community = pair(info.body.community.publicKey);
const headers = (p) => ({
  publickey: ecdh.getPublicKey(null, "uncompressed").subarray(1).toString("base64"),
  licensekey: p.seal(license),
  requestid: p.seal(JSON.stringify({ ts: Math.floor(Date.now() / 1000), appid: "fixme", uuid: randomUUID() })),
});
const call = (path, body) => post(`${sd.docuverify}/${path}`, headers(docuverify), { data: docuverify.seal(JSON.stringify(body)) });

const id = randomUUID();
const created = await json(await call("document_share_session/create", {
  dvcID: "default",
  sessionRequest: { tenantDNS: dns, communityName: "default", documentType: "dl_object", userUID: id, did: id },
}));
const { sessionId } = created.body;
if (created.body.url !== `${base}/idproofing/session/${sessionId}`) throw new Error("odd link");

const results = {};
for (const path of ["document_share_session/result", "v3/document_share_session/result"]) {
  const answer = await json(await call(path, { dvcID: "default", sessionId }));
  const text = pair(answer.body.publicKey).open(answer.body.data);
  results[path] = JSON.parse(text.replaceAll(sessionId, "SESSION"));
}
const wrong = await json(await call("document_share_session/create", { sessionRequest: {} }));
const ial = await json(await fetch(`${sd.adminconsole}/api/r1/community/default/userid/bob/ial`, {
  headers: { ...headers(community), "X-TenantTag": info.body.tenant.tenanttag },
}));

console.log(JSON.stringify({ created: created.status, results, wrong, ial: JSON.parse(community.open(ial.body.data)) }));
