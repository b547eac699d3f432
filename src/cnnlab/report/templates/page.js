"use strict";
// The page is complete without this script. Nothing here turns text into markup.
const all = (selector, of = document) => [...of.querySelectorAll(selector)];

function button(label, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.append(label);
  made.addEventListener("click", act);
  return made;
}

// The contents list marks the section in view; on a small screen it folds away.
const nav = document.querySelector("nav");
const targets = all("a", nav).map((link) => [link, document.getElementById(link.hash.slice(1))]).filter((pair) => pair[1]);
let current = null;
function follow() {
  const end = scrollY + innerHeight >= document.documentElement.scrollHeight - 2;
  const passed = targets.filter(([, target]) => target.getBoundingClientRect().top <= innerHeight / 4);
  const [link] = end ? targets.at(-1) : passed.at(-1) ?? targets[0];
  if (link === current) return;
  current?.removeAttribute("aria-current");
  link.setAttribute("aria-current", "location");
  nav.scrollTop = link.offsetTop - nav.clientHeight / 2;
  current = link;
}
addEventListener("scroll", () => requestAnimationFrame(follow), { passive: true });
const small = matchMedia("(max-width: 60rem)");
const contents = nav.querySelector("details");
const fold = () => (contents.open = !small.matches);
small.addEventListener("change", fold);
nav.addEventListener("click", (event) => small.matches && event.target.closest("a") && (contents.open = false));
fold();

// A click on a column's head sorts by it; a second click reverses the order. Missing values stay last.
const MISSING = "-";
const NUMBER = /^(?:[<>]|above|below)? ?([+-]?[\d,]*\.?\d+(?:e[+-]?\d+)?)(?: ?(?:%|\*|±.*|to .*|\(.*))?$/i;
const text = (cell) => cell.textContent.trim();
const value = (content) => parseFloat(NUMBER.exec(content)?.[1].replaceAll(",", ""));
function isNumeric(cells) {
  const contents = cells.map(text).filter((content) => content && content !== MISSING);
  return contents.length > 0 && !contents.some((content) => Number.isNaN(value(content)));
}
function sort(table, column) {
  const heads = all("thead th", table);
  const down = heads[column].getAttribute("aria-sort") === "ascending";
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [text(row.cells[column]), row]);
  const numeric = isNumeric(rows.map(([, row]) => row.cells[column]));
  rows.sort(([a], [b]) => {
    if (a === MISSING || b === MISSING) return (a === MISSING) - (b === MISSING);
    const order = numeric ? value(a) - value(b) : a.localeCompare(b, "en", { numeric: true });
    return down ? -order : order;
  });
  body.append(...rows.map(([, row]) => row));
}

// A table can be copied as CSV.
function csv(table) {
  const quoted = (cell) => (/[",\n]/.test(text(cell)) ? `"${text(cell).replaceAll('"', '""')}"` : text(cell));
  return [...table.rows].map((row) => [...row.cells].map(quoted).join(",")).join("\n") + "\n";
}
async function copy(content) {
  try {
    await navigator.clipboard.writeText(content);
  } catch {
    // Browsers give a page that was loaded by plain HTTP no clipboard.
    const area = document.createElement("textarea");
    area.value = content;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}
for (const table of all("table.cnnlab")) {
  const heads = all("thead th", table);
  if (!heads.length) continue;
  heads.forEach((head, column) => {
    const cells = [...table.tBodies[0].rows].map((row) => row.cells[column]);
    if (column && isNumeric(cells)) [head, ...cells].forEach((cell) => cell.classList.add("number"));
    const label = document.createElement("span");
    label.append(...head.childNodes);
    head.append(button(label, () => sort(table, column)));
  });
  const status = document.createElement("span");
  status.setAttribute("role", "status");
  const tools = document.createElement("div");
  tools.className = "tools";
  tools.append(
    button("Copy as CSV", async () => {
      await copy(csv(table));
      status.textContent = "Copied";
      setTimeout(() => (status.textContent = ""), 2000);
    }),
    status,
  );
  table.after(tools);
}

// Content that is wider than the screen scrolls sideways, also with the keyboard.
function reach() {
  for (const area of all(".output_area, .scroll, pre")) {
    const wide = area.scrollWidth > area.clientWidth;
    if (wide) {
      area.setAttribute("tabindex", "0");
      area.setAttribute("role", "group");
      area.setAttribute("aria-label", "Scrolls sideways");
    } else {
      for (const name of ["tabindex", "role", "aria-label"]) area.removeAttribute(name);
    }
  }
}
addEventListener("resize", reach);
document.addEventListener("toggle", reach, true);
reach();
follow();
