// The secret of the link moves from the address bar into the form, so that neither the
// history nor somebody behind the chair has it. Without this script, people paste it.
function take() {
  const secret = location.hash.slice(1);
  if (!secret) return;
  history.replaceState(null, "", location.pathname);
  document.getElementById("secret").value = secret;
  document.getElementById("code").hidden = true;
  document.querySelector("button").focus();
}

take();
// A second link that is opened in the same tab changes the fragment alone.
addEventListener("hashchange", take);
