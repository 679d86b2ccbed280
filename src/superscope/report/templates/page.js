"use strict";
(() => {
  const color = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function followPage(layout) {
    const changes = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", "legend.bgcolor": "rgba(0,0,0,0)",
      "font.color": color("--ink"), "font.family": getComputedStyle(document.body).fontFamily,
      "hoverlabel.bgcolor": color("--panel"), "hoverlabel.bordercolor": color("--line"), "hoverlabel.font.color": color("--ink"),
      "modebar.bgcolor": "rgba(0,0,0,0)", "modebar.color": color("--faint"), "modebar.activecolor": color("--ink"),
    };
    for (const axis of Object.keys(layout).filter(key => /^[xy]axis\d*$/.test(key)))
      for (const part of ["gridcolor", "zerolinecolor", "linecolor", "tickcolor"]) changes[`${axis}.${part}`] = color("--line");
    (layout.updatemenus || []).forEach((_, index) => {
      changes[`updatemenus[${index}].bgcolor`] = color("--page");
      changes[`updatemenus[${index}].bordercolor`] = color("--line");
    });
    return changes;
  }

  const options = {
    responsive: true, displaylogo: false, modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
  };
  const charts = [...document.querySelectorAll(".chart")];
  for (const chart of charts) {
    const { data, layout } = JSON.parse(document.getElementById(`${chart.id}-data`).textContent);
    chart.replaceChildren();
    if (matchMedia("(pointer: coarse)").matches) layout.dragmode = false; // a finger on the chart scrolls the page
    Plotly.newPlot(chart, data, layout, options).then(() => Plotly.relayout(chart, followPage(chart.layout)));
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    charts.forEach(chart => Plotly.relayout(chart, followPage(chart.layout))));

  const compare = (a, b) => a.localeCompare(b, "en", { numeric: true });
  function sortBy(header) {
    const table = header.closest("table"), body = table.tBodies[0];
    if (body.rows[0].cells.length < header.parentNode.cells.length) return; // "no rows"
    const up = header.getAttribute("aria-sort") !== "ascending", numeric = header.classList.contains("number");
    const key = row => { const cell = row.cells[header.cellIndex]; return numeric ? parseFloat(cell.dataset.key) : cell.textContent; };
    const missing = value => numeric ? Number.isNaN(value) : value === "–";
    const order = (a, b) => {
      const x = key(a), y = key(b);
      if (missing(x) || missing(y)) return missing(x) - missing(y); // last, whichever way
      return (up ? 1 : -1) * (numeric ? x - y : compare(x, y));
    };
    body.append(...[...body.rows].sort(order));
    for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", up ? "ascending" : "descending");
  }
  for (const button of document.querySelectorAll(".sortable thead button"))
    button.addEventListener("click", () => sortBy(button.parentNode));
})();
