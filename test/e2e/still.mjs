// What fades in, or changes its colours, has no contrast until it is there.

// still returns once nothing in the page is on its way from one look to another. An
// element's shadow tree keeps its animations to itself: each is asked.
export async function still(page) {
  // A change of scheme or size takes effect with the frames after it.
  await page.evaluate(async () => {
    for (let frame = 0; frame < 4; frame++) await new Promise(requestAnimationFrame);
  });
  await page.waitForFunction(() => {
    const moving = (root) =>
      root.getAnimations().some((a) => a.playState !== "finished" && a.effect?.getTiming().iterations !== Infinity) ||
      [...root.querySelectorAll("*")].some((e) => e.shadowRoot && moving(e.shadowRoot));
    return !moving(document);
  });
}
