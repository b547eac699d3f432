"use strict";
// The page is complete without its script. Nothing here turns text into markup.
const all = (selector, of = document) => [...of.querySelectorAll(selector)];

function make(tag, properties = {}, ...content) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...content);
  return made;
}

function button(label, act) {
  const made = make("button", { type: "button" }, label);
  made.addEventListener("click", act);
  return made;
}

// A click on a column's head sorts by it; a second click reverses the order. Missing values stay last.
const MISSING = "-";
const NUMBER = /^(?:[<>]|above|below)? ?([+-]?[\d,]*\.?\d+(?:e[+-]?\d+)?)(?: ?(?:%|\*|±.*|to .*|\(.*))?$/i;
const text = (cell) => cell.textContent.trim();
const content = (cell) => (cell.querySelector(".remark") ? MISSING : text(cell)); // words instead of a number
const value = (words) => parseFloat(NUMBER.exec(words)?.[1].replaceAll(",", ""));
function isNumeric(cells) {
  const contents = cells.map(content).filter((words) => words && words !== MISSING);
  return contents.length > 0 && !contents.some((words) => Number.isNaN(value(words)));
}
function sort(table, column) {
  const heads = all("thead th", table);
  const down = heads[column].getAttribute("aria-sort") === "ascending";
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [content(row.cells[column]), row]);
  const numeric = isNumeric(rows.map(([, row]) => row.cells[column]));
  rows.sort(([a], [b]) => {
    if (a === MISSING || b === MISSING) return (a === MISSING) - (b === MISSING);
    const order = numeric ? value(a) - value(b) : a.localeCompare(b, "en", { numeric: true });
    return down ? -order : order;
  });
  body.append(...rows.map(([, row]) => row));
}

// A table can be copied as CSV, and code as it is.
function csv(table) {
  const quoted = (cell) => (/[",\n]/.test(text(cell)) ? `"${text(cell).replaceAll('"', '""')}"` : text(cell));
  return [...table.rows].map((row) => [...row.cells].map(quoted).join(",")).join("\n") + "\n";
}
async function copy(content) {
  try {
    await navigator.clipboard.writeText(content);
  } catch {
    // Browsers give a page that was loaded by plain HTTP no clipboard.
    const area = make("textarea", { value: content });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}
function copier(label, content) {
  const status = make("span");
  status.setAttribute("role", "status");
  const act = button(label, async () => {
    await copy(content());
    status.textContent = "Copied";
    setTimeout(() => (status.textContent = ""), 2000);
  });
  return make("div", { className: "tools" }, act, status);
}
for (const table of all("table.cnnlab")) {
  const heads = all("thead th", table);
  if (!heads.length) continue;
  heads.forEach((head, column) => {
    const cells = [...table.tBodies[0].rows].map((row) => row.cells[column]);
    if (column && isNumeric(cells)) [head, ...cells].forEach((cell) => cell.classList.add("number"));
    const label = make("span", {}, ...head.childNodes);
    head.append(button(label, () => sort(table, column)));
  });
  const tools = copier("Copy as CSV", () => csv(table));
  // Only a table with many rows is likely to be wanted elsewhere.
  if (table.tBodies[0].rows.length > 2) table.after(tools);
}
for (const code of all("pre.command, details.keras pre")) {
  const line = make("div", { className: "copied" });
  code.replaceWith(line);
  line.append(code, copier("Copy", () => code.textContent.trim()));
}

// The table of all runs can be filtered, and two trials compared by the settings in which they differ.
const runs = document.querySelector("details.runs table");
if (runs) {
  const input = make("input", { type: "search", placeholder: "nadam, seed 1 ..." });
  const status = make("span");
  status.setAttribute("role", "status");
  // "seed 1" finds the rows with 1 in the column seed, and not those with 10.
  const ends = (words) => (/ \d+$/.test(words) ? `${words};` : words);
  const heads = all("thead th", runs).map(text);
  const named = (row) => [...row.cells].map((cell, index) => `${heads[index]} ${text(cell)};`).join(" ").toLowerCase();
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(",").map((word) => word.trim()).filter(Boolean);
    const rows = [...runs.tBodies[0].rows];
    for (const row of rows) row.hidden = !words.every((word) => named(row).includes(ends(word)));
    const left = rows.filter((row) => !row.hidden).length;
    status.textContent = words.length ? `${left} of ${rows.length} runs` : "";
  });
  const label = make("label", {}, "Show only rows with ", input);
  runs.closest(".scroll").before(make("div", { className: "filter" }, label, status));
}
const settings = document.querySelector("section > details.settings table");
if (settings) {
  const names = all("thead th", settings).map(text);
  const rows = [...settings.tBodies[0].rows].map((row) => [...row.cells].map(text));
  const pickers = [0, Math.min(1, rows.length - 1)].map((first) => {
    const options = rows.map((row, index) => make("option", { value: index }, `${row[0]}: ${row[1]}`));
    const select = make("select", {}, ...options);
    select.selectedIndex = first;
    return select;
  });
  const result = make("div");
  result.setAttribute("role", "status");
  const compare = () => {
    const [a, b] = pickers.map((picker) => rows[picker.value]);
    const differ = names.map((_, index) => index).filter((index) => index > 1 && a[index] !== b[index]);
    const lines = differ.map((index) => make("li", {}, `${names[index]}: ${a[index]} and ${b[index]}`));
    result.replaceChildren(lines.length ? make("ul", {}, ...lines) : make("p", {}, "They do not differ."));
  };
  pickers.forEach((picker) => picker.addEventListener("change", compare));
  const labels = pickers.map((picker, index) => make("label", {}, index ? "and " : "What differs between ", picker));
  settings.closest("details").before(make("div", { className: "filter" }, ...labels, result));
  compare();
}
