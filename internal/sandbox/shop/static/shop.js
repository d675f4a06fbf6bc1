// What the shop does with Descope's element: hand its session to our backend, and
// keep that session fresh while the refresh token is good.
(() => {
  const { descope, project, expires } = document.body.dataset;
  const stored = (name) => {
    try {
      return localStorage.getItem(name);
    } catch {
      return null;
    }
  };
  const forget = () => ["DS", "DSR"].forEach((name) => localStorage.removeItem(name));
  const api = (path, token) => fetch(`${descope}/v1/auth/${path}`, { method: "POST", headers: { Authorization: `Bearer ${project}:${token}` }, body: "{}" });
  const keep = async (sessionJwt) => {
    const answer = await fetch("/session", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ session_jwt: sessionJwt }),
    });
    if (!answer.ok) throw new Error(`the shop refused the session (${answer.status})`);
  };

  const element = document.querySelector("descope-wc");
  const trouble = document.getElementById("flow-trouble");
  const tell = (text) => {
    trouble.textContent = text;
    trouble.hidden = !text;
  };
  element?.addEventListener("success", async (event) => {
    try {
      await keep(event.detail.sessionJwt);
      location.assign(element.dataset.next);
    } catch (error) {
      tell(`You are signed in with Descope, but ${error.message}. Load this page again.`);
    }
  });
  element?.addEventListener("error", (event) => {
    tell(event.detail?.errorMessage || event.detail?.errorDescription || "Something went wrong. Load this page again.");
  });
  element?.addEventListener("page-updated", () => tell(""));

  document.getElementById("sign-out")?.addEventListener("click", async () => {
    const refresh = stored("DSR");
    forget();
    await Promise.allSettled([fetch("/logout", { method: "POST" }), refresh ? api("logout", refresh) : null]);
    location.assign("/");
  });

  // A session lasts minutes. Signed in is who still has the refresh token.
  const refresh = stored("DSR");
  const left = expires ? expires * 1000 - Date.now() : 0;
  const renew = async () => {
    const answer = await api("refresh", refresh);
    if (!answer.ok) return forget();
    const { sessionJwt } = await answer.json();
    if (!sessionJwt) return;
    localStorage.setItem("DS", sessionJwt);
    await keep(sessionJwt);
    if (!expires && !element) location.reload();
  };
  if (refresh && (expires || !element)) setTimeout(() => renew().catch(() => {}), Math.max(0, left - 30_000));
})();
