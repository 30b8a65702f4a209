const config = {
  displaylogo: false,
  responsive: true,
  modeBarButtonsToRemove: ["select2d", "lasso2d"],
};
const figures = JSON.parse(document.getElementById("figures").textContent);
for (const [name, figure] of Object.entries(figures)) {
  Plotly.newPlot("figure-" + name, figure.data, figure.layout, config);
}
const printWidth = 690; // of an A4 page, in CSS pixels
const resize = (width) => () => {
  const size = { width: width, autosize: width === null };
  for (const name of Object.keys(figures)) Plotly.relayout("figure-" + name, size);
};
window.addEventListener("beforeprint", resize(printWidth));
window.addEventListener("afterprint", resize(null));
document.body.dataset.drawn = "yes";
