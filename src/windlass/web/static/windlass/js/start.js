// Loads the modules that the page names, after its first paint: before it, dozens of requests would compete with the styles.

/** Milliseconds after which they are loaded in any case: a tab in the background paints nothing. */
const LATEST = 300;

const painted = new Promise((done) => {
  requestAnimationFrame(() => setTimeout(done)); // a frame's callback runs before the frame is painted
  setTimeout(done, LATEST);
});

await painted;
await Promise.all([...document.querySelectorAll("template[data-module]")].map(({ dataset }) => import(dataset.module)));
document.documentElement.dataset.scripts = "ready";
