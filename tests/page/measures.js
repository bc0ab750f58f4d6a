// What of a page is hard to read or to find one's way in: a list of complaints, empty when all is well.
() => {
  const complaints = [];
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const shown = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });

  // Contrast, as WCAG 2.2 computes it, of every text that is shown.
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => {
    const linear = (c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  };
  const over = ([r, g, b, a], ground) => [r, g, b].map((c, i) => (c * a) / 255 + ground[i] * (1 - a / 255));
  const ground = (element) => {
    if (!element) return [255, 255, 255];
    const colour = rgba(getComputedStyle(element).backgroundColor);
    return colour[3] === 255 ? colour : over(colour, ground(element.parentElement));
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !shown(element)) continue;
    if (["SCRIPT", "STYLE", "title", "desc"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const behind = element.classList.contains("inside")
      ? rgba(getComputedStyle(element.previousElementSibling).fill)
      : ground(element);
    const letters = over(rgba(element.namespaceURI.endsWith("svg") ? style.fill : style.color), behind);
    const [low, high] = [luminance(letters), luminance(behind)].sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    texts += 1;
    if (contrast < 4.5) complaints.push(`contrast ${contrast.toFixed(2)}: ${walker.currentNode.data.trim().slice(0, 40)}`);
  }
  if (texts < 10) complaints.push("there is hardly any text");

  // What is drawn has a contrast of 3 with its ground.
  for (const selector of ["rect.ac", "rect.dc", "rect.covered"]) {
    const mark = all(selector).find(shown);
    if (!mark) continue;
    const [low, high] = [luminance(rgba(getComputedStyle(mark).fill)), luminance(ground(mark.parentElement))].sort((a, b) => a - b);
    if ((high + 0.05) / (low + 0.05) < 3) complaints.push(`${selector} is too pale`);
  }

  if (document.documentElement.lang !== "en") complaints.push("no language");
  if (!document.title) complaints.push("no title");
  if (all("h1").length !== 1) complaints.push(`${all("h1").length} h1`);
  if (all("main").length !== 1) complaints.push("no single main");
  let level = 0;
  for (const heading of all("h1, h2, h3, h4, h5, h6")) {
    const next = Number(heading.tagName[1]);
    if (next > level + 1 && level) complaints.push(`h${level} is followed by h${next}: ${heading.textContent}`);
    level = next;
  }
  for (const field of all("input, select, textarea")) {
    if (!field.labels.length && !field.getAttribute("aria-label")) complaints.push(`no label: ${field.name}`);
  }
  for (const named of all("a, button, summary")) {
    if (!named.textContent.trim() && !named.getAttribute("aria-label")) complaints.push(`no name: ${named.outerHTML}`);
  }
  for (const image of all("img")) if (!image.hasAttribute("alt")) complaints.push("an image without alt");
  for (const table of all("table")) {
    if (!table.caption) complaints.push("a table without caption");
    if (all("th:not([scope])", table).length) complaints.push("a heading of a table without scope");
  }
  for (const svg of all("svg:not([aria-hidden])")) {
    const names = ["aria-labelledby", "aria-describedby"].map((key) => document.getElementById(svg.getAttribute(key)));
    if (svg.getAttribute("role") !== "img" || names.some((one) => !one?.textContent)) complaints.push("a chart without title or description");
  }
  for (const region of all("[role=region]")) {
    if (!region.getAttribute("aria-label") && !region.getAttribute("aria-labelledby")) complaints.push("a region without name");
  }
  const ids = all("[id]").map((element) => element.id);
  for (const id of ids.filter((one, index) => ids.indexOf(one) !== index)) complaints.push(`id twice: ${id}`);
  for (const key of ["aria-labelledby", "aria-describedby"]) {
    for (const element of all(`[${key}]`)) {
      if (!document.getElementById(element.getAttribute(key))) complaints.push(`${key} of nothing: ${element.outerHTML.slice(0, 80)}`);
    }
  }
  if (all("[style], style, script:not([src]), [onclick]").length) complaints.push("something inline");
  if (document.documentElement.scrollWidth > innerWidth) complaints.push(`wider than the screen: ${document.documentElement.scrollWidth}`);
  return complaints;
}
