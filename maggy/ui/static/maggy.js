// Keeps what is live up to date, and draws plotly's figures when they come into view. No other script runs here.
"use strict";
(() => {
  const EVERY = 2000; // milliseconds

  const refresh = async (element) => {
    if (!element.isConnected) return;
    if (!document.hidden) {
      try {
        const headers = element.dataset.tag ? { "If-None-Match": element.dataset.tag } : {};
        const answer = await fetch(element.dataset.live, { headers });
        document.body.classList.remove("gone");
        if (answer.status === 200) {
          element.innerHTML = await answer.text(); // escaped where it was made; scripts in it would not run
          element.dataset.tag = answer.headers.get("ETag") || "";
          if (answer.headers.get("X-Maggy") === "ended") return;
        } else if (answer.status !== 304) {
          document.body.classList.add("gone");
          if (answer.status < 500) return; // a store that is away for a moment comes back
        }
      } catch {
        document.body.classList.add("gone");
      }
    }
    setTimeout(refresh, EVERY, element);
  };

  const draw = async (element) => {
    const answer = await fetch(element.dataset.figure);
    const told = await answer.text();
    element.classList.remove("coming");
    if (answer.status !== 200) {
      element.textContent = told;
      element.classList.add("empty");
      return;
    }
    const figure = JSON.parse(told);
    await Plotly.newPlot(element, figure.data, figure.layout, { displaylogo: false, responsive: true });
    await maggyTheme(element);
    element.dataset.drawn = "yes";
  };

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((each) => each.isIntersecting)) {
      seen.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "400px" });

  document.querySelectorAll("[data-live]").forEach((element) => setTimeout(refresh, EVERY, element));
  document.querySelectorAll("[data-figure]").forEach((element) => seen.observe(element));
})();
