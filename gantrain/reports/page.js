"use strict";
const root = document.documentElement;
document.querySelector(".theme").addEventListener("click", () => {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  root.dataset.theme = (root.dataset.theme || system) === "dark" ? "light" : "dark";
});
const wide = [...document.querySelectorAll(".wide")];
const mark = () => wide.forEach(box => box.classList.toggle("cut", box.scrollWidth > box.clientWidth + 1));
addEventListener("resize", mark);
mark();
const wanted = new URLSearchParams(location.search).get("theme");
if (wanted) root.dataset.theme = wanted;
for (const head of document.querySelectorAll("table.sortable th")) {
  const button = head.querySelector("button");
  if (!button) continue;
  button.addEventListener("click", () => {
    const table = head.closest("table"), body = table.tBodies[0], column = head.cellIndex;
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = row => { const v = row.cells[column].dataset.value; return v === undefined ? row.cells[column].textContent : v; };
    const rows = [...body.rows].sort((a, b) => {
      const x = value(a), y = value(b);
      if (x === "" || y === "") return (x === "") - (y === "");
      const d = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return up ? d : -d;
    });
    body.append(...rows);
  });
}
