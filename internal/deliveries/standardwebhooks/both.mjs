// Checks and makes signatures with the published library: JSON in, JSON out.
import { Webhook } from "standardwebhooks";

let text = "";
for await (const chunk of process.stdin) text += chunk;
const { checks, secret, id, at, body } = JSON.parse(text);

const good = checks.map((c) => {
  try {
    new Webhook(c.secret).verify(c.body, c.headers);
    return true;
  } catch {
    return false;
  }
});
const signature = new Webhook(secret).sign(id, new Date(at * 1000), body);
process.stdout.write(JSON.stringify({ good, signature }));
