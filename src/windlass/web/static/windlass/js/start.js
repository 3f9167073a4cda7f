// Loads the modules that the page names, once its styles have arrived: before, dozens of requests would compete with them.
// This module is executed after them. The scripts are elements, not imports, so that the page's load event waits for them:
// whoever waits for it, such as a program that fills in the page, finds what works.

const loaded = [...document.querySelectorAll("template[data-module]")].map(({ dataset }) => new Promise((done) => {
  const script = Object.assign(document.createElement("script"), { type: "module", src: dataset.module });
  script.addEventListener("load", done);
  document.head.append(script);
}));

Promise.all(loaded).then(() => { document.documentElement.dataset.scripts = "ready"; });
