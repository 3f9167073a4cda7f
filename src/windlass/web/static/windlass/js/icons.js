// Icons of the sprite icons.svg: a picture with a label, or a decoration without one.

const SVG = "http://www.w3.org/2000/svg";
const sprite = `${document.documentElement.dataset.static}icons.svg`;

export function icon(name, { label } = {}) {
  const element = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `${sprite}#${name}`);
  element.setAttribute("class", "icon");
  element.setAttribute("viewBox", "0 0 24 24");
  if (label) {
    element.setAttribute("role", "img");
    element.setAttribute("aria-label", label);
  } else element.setAttribute("aria-hidden", "true");
  element.append(use);
  return element;
}
