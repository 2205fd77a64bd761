// The theme that was chosen, before anything is painted: no module, for those come later.

try {
  document.documentElement.dataset.theme = localStorage.getItem("descartes-theme") ?? "";
} catch { /* this browser keeps nothing for pages */ }
