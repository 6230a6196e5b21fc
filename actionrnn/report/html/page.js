"use strict";
for (const box of document.querySelectorAll(".sortable")) {
  const body = box.querySelector("tbody");
  const heads = [...box.querySelectorAll("th")];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") === "descending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (row) => {
      const cell = row.cells[column];
      return cell.dataset.sort === undefined ? cell.textContent : Number(cell.dataset.sort);
    };
    const order = (a, b) => typeof a === "number" ? a - b : b.localeCompare(a);
    const sign = up ? 1 : -1;
    body.append(...[...body.rows].sort((a, b) => sign * order(value(a), value(b))));
  }));
  const [filter, least] = [box.querySelector("[type=search]"), box.querySelector(".least")];
  const picks = [...box.querySelectorAll("select")];
  const apply = () => {
    const words = filter.value.toLowerCase().split(" ").filter(Boolean);
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      const value = least && least.value !== ""
        ? Number(row.cells[least.dataset.column].dataset.sort) : Infinity;
      row.hidden = !words.every((word) => text.includes(word)) || value < Number(least?.value || 0)
        || picks.some((pick) => pick.value
          && pick.value !== row.cells[pick.dataset.column].textContent);
    }
  };
  for (const field of [filter, least, ...picks]) if (field) field.addEventListener("input", apply);
}
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
