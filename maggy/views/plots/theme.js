// Gives plotly's figures the ground and the colours of the page that they stand in, in the light and in the dark.
"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paint = (figure) => {
    const line = dark.matches ? "#343a44" : "#e6e9ee";
    const change = {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      "font.color": dark.matches ? "#d6dae0" : "#2a3340",
      "modebar.color": "rgba(128,128,128,.45)",
      "modebar.activecolor": "rgba(128,128,128,.9)",
      "modebar.bgcolor": "rgba(0,0,0,0)",
    };
    for (const axis of Object.keys(figure._fullLayout || {}).filter((key) => /^[xy]axis\d*$/.test(key))) {
      for (const part of ["gridcolor", "linecolor", "zerolinecolor"]) change[`${axis}.${part}`] = line;
    }
    return Plotly.relayout(figure, change);
  };
  const all = () => document.querySelectorAll(".js-plotly-plot").forEach(paint);
  window.maggyTheme = paint;
  dark.addEventListener("change", all);
  addEventListener("load", all);
})();
