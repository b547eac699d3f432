// The contents list marks the section in view; on a small screen it folds away.
const nav = document.querySelector("nav");
const targets = all("a", nav).map((link) => [link, document.getElementById(decodeURIComponent(link.hash.slice(1)))]).filter((pair) => pair[1]);
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

// A link into a fold opens it.
function open() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
  if (target) target.scrollIntoView();
}
addEventListener("hashchange", open);

// All folds open for a print with all numbers, and close again.
document.querySelector("#how h2").after(
  make(
    "div",
    { className: "tools" },
    button("Print this report with all details", () => {
      const closed = all("main details:not([open])");
      closed.forEach((part) => (part.open = true));
      addEventListener("afterprint", () => closed.forEach((part) => (part.open = false)), { once: true });
      print();
    }),
  ),
);

// Content that is wider than the screen scrolls sideways, also with the keyboard.
function reach() {
  for (const area of all(".output_area, .scroll, pre")) {
    const wide = area.scrollWidth > area.clientWidth + 1;
    area.classList.toggle("wide-content", wide && area.tagName !== "PRE");
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
open();
