// The pages follow what they are about: they ask for the status, not at all while
// hidden, and fetch themselves again when the step changes. The hand-off page
// asks less often the longer nothing happens; the challenge page shows one
// upstream session after the other and does not. Everything that they say comes
// from the server.

type Status = { status: string; reason: string; message: string; step: string; session?: string; next_url: string };

const FIRST = 2000; // ms between two questions at first …
const SLOWEST = 5000; // … and at most
const PATIENCE = 8000; // ms for one answer

let delay = FIRST;
let poll: number | undefined;
let leave: number | undefined;
let tick: number | undefined;
let returned = false; // another tab with this page has gone back
let tabs: BroadcastChannel | undefined;

const main = () => document.getElementById("page")!;
const find = (selector: string) => main().querySelector<HTMLElement>(selector);

function get(url: string): Promise<Response> {
  return fetch(url, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
}

function later() {
  clearTimeout(poll);
  if (!document.hidden && "follow" in main().dataset) {
    poll = setTimeout(ask, delay);
    if (!main().dataset.session) delay = Math.min(delay * 1.2, SLOWEST);
  }
}

function tell(message: string) {
  const status = find("[data-testid=status]");
  // Only a change is announced by a screen reader.
  if (status && status.textContent !== message) status.textContent = message;
}

async function ask() {
  const { step, behind, session, home, offline } = main().dataset;
  try {
    const answer = await get(home + "/status");
    if (answer.status === 429 || answer.status >= 500) throw answer.status;
    const now = answer.ok ? ((await answer.json()) as Status) : undefined;
    if (now?.step !== (behind ?? step)) return await swap();
    if (!behind && now!.session !== session) return await swap(true);
    tell(now!.message);
    Object.assign(find("[data-testid=status]")?.dataset ?? {}, { status: now!.status, reason: now!.reason });
  } catch {
    tell(offline ?? "");
  }
  later();
}

// swap puts the page as it is now in the place of the one that is shown, and
// moves the focus to its heading, so that a screen reader says what is new. If
// only another upstream session is to be shown, everything else stays as it is.
async function swap(quietly = false) {
  clearTimeout(poll);
  const { home, step } = main().dataset as { home: string; step: string };
  const fresh = new DOMParser().parseFromString(await (await get(home)).text(), "text/html");
  const page = fresh.getElementById("page");
  if (!page) return location.replace(home);
  const way = find("#way");
  const fresher = page.querySelector("#way");
  if (quietly && way && fresher && page.dataset.step === step) {
    const focused = way.contains(document.activeElement) && (document.activeElement as HTMLElement).dataset.testid;
    way.replaceWith(fresher);
    main().dataset.session = page.dataset.session;
    tell(page.querySelector("[data-testid=status]")!.textContent!);
    if (focused) find(`[data-testid=${focused}]`)?.focus();
    return start();
  }
  main().replaceWith(page);
  document.title = fresh.title;
  start();
  find("h1")?.focus();
  scrollTo(0, 0);
}

// words says a number of seconds in the language of the page.
function words(s: number): string {
  const [n, unit] = s < 120 ? [s, "second"] : [Math.floor(s / 60), "minute"];
  return new Intl.NumberFormat(document.documentElement.lang, { style: "unit", unit, unitDisplay: "long" }).format(n);
}

function start() {
  clearTimeout(leave);
  clearInterval(tick);
  delay = FIRST;
  const { step, home } = main().dataset;
  // The address of a form's answer cannot be loaded again; the page's can.
  if (home) history.replaceState(null, "", home);
  if (home && !tabs) {
    // 1Kosmos may have brought the person back in a second tab; one return is enough.
    tabs = new BroadcastChannel("kosmoscope " + home);
    tabs.onmessage = () => {
      returned = true;
      clearTimeout(leave);
      find(".auto")?.setAttribute("hidden", "");
    };
  }

  const back = find("[data-after]"); // a link, or a form
  if (back && !returned) {
    find(".auto")!.hidden = false;
    leave = setTimeout(() => {
      tabs?.postMessage("returned");
      if (back instanceof HTMLFormElement) back.requestSubmit();
      else location.replace((back as HTMLAnchorElement).href);
    }, Number(back.dataset.after) * 1000);
  }
  if (step === "qr") find("[data-copy]")!.hidden = !navigator.clipboard;
  const left = find("[data-left]");
  if (left) {
    const end = performance.now() + Number(left.dataset.left) * 1000;
    const show = () => {
      const s = Math.max(0, Math.ceil((end - performance.now()) / 1000));
      left.textContent = `${left.dataset.text} ${"words" in left.dataset ? words(s) + "." : `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`}`;
      if (s === 0) {
        clearInterval(tick);
        swap("words" in left.dataset).catch(later);
      }
    };
    tick = setInterval(show, 1000);
    show();
  }
  later();
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(poll);
  delay = FIRST;
  if (!document.hidden && "follow" in main().dataset) void ask();
});

document.addEventListener("submit", (event) => {
  const form = event.target as HTMLFormElement;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "1";
  clearTimeout(poll);
  const button = form.querySelector<HTMLElement>("[data-busy]");
  if (button) {
    button.ariaDisabled = "true";
    button.textContent = button.dataset.busy!;
  }
});

document.addEventListener("click", async (event) => {
  const button = (event.target as HTMLElement).closest<HTMLElement>("[data-copy], [data-stay]");
  if (!button) return;
  if ("stay" in button.dataset) {
    clearTimeout(leave);
    find(".auto")!.hidden = true;
    find("[data-testid=return]")?.focus();
    return;
  }
  try {
    await navigator.clipboard.writeText(find("code")!.textContent!);
    button.textContent = button.dataset.copy!;
  } catch {
    tell(button.dataset.fail!);
  }
});

// A page that comes back from the browser's memory is as old as it looks.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

start();
