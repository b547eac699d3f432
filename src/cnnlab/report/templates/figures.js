// Values of a picture's marks and explanations of terms are shown on hover and on focus.
const tip = make("div", { className: "tip", hidden: true });
document.body.append(tip);
const hint = (element) => element.getAttribute("aria-label") ?? element.dataset.hint;
function showTip(element) {
  tip.textContent = hint(element);
  tip.hidden = false;
  const box = element.getBoundingClientRect();
  const left = Math.min(Math.max(box.left + box.width / 2 - tip.offsetWidth / 2, 4), innerWidth - tip.offsetWidth - 4);
  const above = box.top - tip.offsetHeight - 6;
  Object.assign(tip.style, { left: `${left}px`, top: `${above > 4 ? above : box.bottom + 6}px` });
}
const HINTED = ".mark, .term";
for (const kind of ["pointerover", "focusin"]) {
  document.addEventListener(kind, (event) => {
    const element = event.target.closest?.(HINTED);
    if (element) showTip(element);
    else tip.hidden = true;
  });
}
document.addEventListener("focusout", () => (tip.hidden = true));
addEventListener("scroll", () => {
  // The browser scrolls to what gets the focus: its tip goes with it.
  if (document.activeElement.matches(HINTED)) showTip(document.activeElement);
  else tip.hidden = true;
}, { passive: true });
addEventListener("keydown", (event) => event.key === "Escape" && (tip.hidden = true));
for (const term of all(".term[title]")) {
  term.dataset.hint = term.title;
  term.removeAttribute("title");
}

// A thin curve has a wide, invisible one above it that is easy to point at.
for (const curve of all('svg.plot .mark > path[stroke]:not([fill], [stroke-opacity="0"])')) {
  if (curve.nextSibling?.getAttribute("stroke-opacity") === "0") continue; // a short line has one already
  const wide = curve.cloneNode();
  wide.setAttribute("stroke-width", "9");
  wide.setAttribute("stroke-opacity", "0");
  wide.removeAttribute("stroke-dasharray");
  curve.after(wide);
}

// Each picture takes one tab stop; the arrow keys move between its marks.
for (const plot of all("svg.plot")) all(".mark", plot).forEach((mark, index) => (mark.tabIndex = index ? -1 : 0));
document.addEventListener("keydown", (event) => {
  const mark = event.target.closest?.(".mark");
  if (!mark) return;
  const marks = all(".mark", mark.closest("svg"));
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (step) {
    const next = marks[(marks.indexOf(mark) + step + marks.length) % marks.length];
    [mark.tabIndex, next.tabIndex] = [-1, 0];
    next.focus();
    event.preventDefault();
  } else if (event.key === "Enter" && mark.dataset.trial) highlight(mark);
});

// A click on a trial shows it alone in the pictures and the tables of its chapter; a second click shows all again.
const trialOf = (element) => element.dataset.trial ?? text(element);
function highlight(element) {
  const chapter = element.closest("section");
  const wanted = chapter.dataset.lit === trialOf(element) ? "" : trialOf(element);
  chapter.dataset.lit = wanted;
  for (const one of all("svg [data-trial], .trial", chapter)) {
    const row = one.closest("tr"); // with two trials, it stays for either
    const isWanted = (row ? all(".trial", row) : [one]).some((other) => trialOf(other) === wanted);
    (row ?? one).classList.toggle("dim", wanted !== "" && !isWanted);
    one.querySelector?.("button")?.setAttribute("aria-pressed", wanted !== "" && trialOf(one) === wanted);
  }
}
for (const trial of all(".chapter:not(#all-runs) .trial")) {
  const press = button("", () => highlight(trial));
  press.setAttribute("aria-pressed", "false");
  press.append(...trial.childNodes);
  trial.append(press);
}
document.addEventListener("click", (event) => {
  const mark = event.target.closest?.(".mark[data-trial]");
  if (mark) highlight(mark);
});

// A picture can be saved as a file that has its colours, light and dark, and its font.
function save(figure) {
  const shown = all("svg.plot", figure).find((plot) => plot.checkVisibility());
  const file = shown.cloneNode(true);
  file.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  file.setAttribute("class", "plot");
  const style = document.createElementNS("http://www.w3.org/2000/svg", "style");
  style.textContent = document.getElementById("plot-style").textContent;
  file.prepend(style);
  const url = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(file)], { type: "image/svg+xml" }));
  const section = figure.closest("section")?.id ?? "picture";
  make("a", { href: url, download: `${section}-${1 + all("figure.picture").indexOf(figure)}.svg` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
for (const figure of all("figure.picture")) {
  figure.append(make("div", { className: "tools" }, button("Save as SVG", () => save(figure))));
}
