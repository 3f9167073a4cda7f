// Loads the modules that the page names, once its styles have arrived: before, dozens of requests would compete with them.
// The first one and what it imports come alone, so that few requests compete with the first paint. The scripts are
// elements, not imports, and the others are added in the load event of the first, so that the page's load event waits for
// all: whoever waits for it, such as a program that fills in the page, finds what works.

const [first, ...others] = [...document.querySelectorAll("template[data-module]")].map(({ dataset }) => dataset.module);

const load = (src) => new Promise((done) => {
  const script = Object.assign(document.createElement("script"), { type: "module", src });
  script.addEventListener("load", done);
  document.head.append(script);
});

load(first).then(() => Promise.all(others.map(load))).then(() => { document.documentElement.dataset.scripts = "ready"; });
